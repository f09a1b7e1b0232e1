"""The check of what models answer against the schema they were given."""

from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.models.schema import is_closed, problems, requires_all
from orchestrator.models.structured import read

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", None]}, "maxItems": 2},
        "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "size": {"$ref": "#/$defs/size"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"size": {"oneOf": [{"type": "number", "maximum": 5}, {"type": "number", "minimum": 4}]}},
}


@pytest.mark.parametrize(
    "value",
    [
        {"name": "Ann"},
        {"name": "Ann", "age": 3.0, "tags": ["a", None], "boss": {"name": "Bob", "boss": None}, "size": 6.5},
    ],
)
def test_what_fits_has_no_problems(value: Any):
    assert problems(value, PERSON) == []


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([], "/: has to be object"),
        ({}, "/name: is missing"),
        ({"name": ""}, "/name: minLength is 1"),
        ({"name": "Annabel"}, "/name: maxLength is 5"),
        ({"name": "Ann", "age": "3"}, "/age: has to be integer"),
        ({"name": "Ann", "age": True}, "/age: has to be integer"),
        ({"name": "Ann", "age": 3.5}, "/age: has to be integer"),
        ({"name": "Ann", "age": -1}, "/age: minimum is 0"),
        ({"name": "Ann", "age": 150}, "/age: has to be less than 150"),
        ({"name": "Ann", "tags": ["c"]}, "/tags/0: has to be one of"),
        ({"name": "Ann", "tags": ["a", "a", "a"]}, "/tags: maxItems is 2"),
        ({"name": "Ann", "boss": {"name": 3}}, "/boss: has to fit any of the 2 forms"),
        ({"name": "Ann", "size": 4.5}, "/size: has to fit one of the 2 forms"),
        ({"name": "Ann", "x": 1}, "/x: nothing may be here"),
    ],
)
def test_what_does_not_fit_is_told_where(value: Any, where: str):
    (problem,) = problems(value, PERSON)
    assert problem.startswith(where)


def test_a_map_and_a_fixed_list_are_checked():
    table = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert problems({"a": 1, "b": "2"}, table) == ["/b: has to be integer"]
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"const": 1}], "items": False}
    assert problems(["a", 1], pair) == []
    assert problems(["a", True, 3], pair) == ["/1: has to be 1", "/2: nothing may be here"]
    assert problems(1, {"type": ["string", "null"]}) == ["/: has to be string or null"]
    assert problems({"a": 1}, {"allOf": [{"required": ["a"]}, {"required": ["b"]}]}) == ["/b: is missing"]


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({}, {"required": 5}),
        (1, {"minimum": "a"}),
        (1, {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 8}}}),
        (1, {"anyOf": 3}),
    ],
)
def test_a_schema_that_is_none_or_has_no_end_is_refused(value: Any, schema: dict[str, Any]):
    with pytest.raises(InvalidInput, match="not a JSON Schema"):
        problems(value, schema)


def test_strictness_is_seen():
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    assert is_closed(closed)
    assert is_closed({"type": "array", "items": closed})
    assert not is_closed({"type": "object"})
    assert not is_closed({"anyOf": [closed, {"type": "object", "additionalProperties": {"type": "string"}}]})
    assert not requires_all(closed)
    assert requires_all(closed | {"required": ["a"]})


def test_the_fence_around_json_is_taken_off():
    assert read('```json\n{"a": 1}\n```', {}) == ({"a": 1}, [])
    assert read(" [1] ", {}) == ([1], [])
    assert "not JSON" in read("Sure! {}", {})[1][0]
