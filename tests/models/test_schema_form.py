"""A schema that cannot be used is found before anything is paid."""

from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.models.schema import DEEPEST
from orchestrator.models.schema_form import check_form


def refusal(schema: dict[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput, match="the schema cannot be used: /schema") as refused:
        check_form(schema)
    return refused.value


def chain(length: int) -> dict[str, Any]:
    """Schemas that refer each to the next."""
    links = {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(1, length - 1)}
    return {"$ref": "#/$defs/1", "$defs": links | {str(length - 1): {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"], "enum": ["a", None], "const": {"required": 5}, "default": {"type": 3}},
        {"properties": {"required": True, "properties": {}, "type": {"type": "string"}}, "required": ["type"]},
        {"items": {"$ref": "#"}, "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {"items": [{"type": "string"}], "prefixItems": [True, {}], "additionalProperties": False},
        {"minimum": 0.5, "maxLength": 3, "unknown": {"minimum": "a"}, "$ref": "other.json#/a"},
        {"$defs": {"unused": 5}},
        chain(DEEPEST),
    ],
)
def test_what_can_be_used_is_let_through(schema: dict[str, Any]):
    check_form(schema)


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"required": 5}, "/schema/required"),
        ({"required": "name"}, "/schema/required"),
        ({"properties": {"a": {"required": [["a"]]}}}, "/schema/properties/a/required"),
        ({"properties": []}, "/schema/properties"),
        ({"properties": {"a": "string"}}, "/schema/properties/a"),
        ({"type": {}}, "/schema/type"),
        ({"type": [5]}, "/schema/type"),
        ({"items": {"minimum": "a"}}, "/schema/items/minimum"),
        ({"items": None}, "/schema/items"),
        ({"exclusiveMaximum": True}, "/schema/exclusiveMaximum"),
        ({"anyOf": 3}, "/schema/anyOf"),
        ({"oneOf": []}, "/schema/oneOf"),
        ({"allOf": [True, 3]}, "/schema/allOf/1"),
        ({"enum": "abc"}, "/schema/enum"),
        ({"$ref": 5}, "/schema/$ref"),
        ({"$ref": "#/x-forms/a", "x-forms": {"a": {"maxItems": []}}}, "/schema/x-forms/a/maxItems"),
        ({"const": {1, 2}}, "/schema"),
        ({"const": {5: "a number as a name"}}, "/schema"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_told_where(schema: dict[str, Any], pointer: str):
    error = refusal(schema)
    assert [issue.pointer for issue in error.issues] == [pointer]
    assert f"{pointer} has to be " in str(error)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 8}}},
        {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"allOf": [{"$ref": "#/properties/a"}]}}},
        chain(DEEPEST + 1),
        chain(5_000),
    ],
    ids=lambda schema: str(schema)[:60],
)
def test_what_refers_to_itself_without_end_is_refused(schema: dict[str, Any]):
    assert "without end" in str(refusal(schema))


def test_only_the_first_of_what_is_wrong_is_told():
    assert len(refusal({"properties": {str(n): n for n in range(50)}}).issues) == 10
