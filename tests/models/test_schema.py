"""The check of what models answer against the schema they were given."""

from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.models.schema import is_closed, issues, requires_all
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
def test_what_fits_has_no_issues(value: Any):
    assert issues(value, PERSON) == []


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
    (issue,) = issues(value, PERSON)
    assert issue.startswith(where)


def test_a_map_and_a_fixed_list_are_checked():
    table = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert issues({"a": 1, "b": "2"}, table) == ["/b: has to be integer"]
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"const": 1}], "items": False}
    assert issues(["a", 1], pair) == []
    assert issues(["a", True, 3], pair) == ["/1: has to be 1", "/2: nothing may be here"]
    assert issues(1, {"type": ["string", "null"]}) == ["/: has to be string or null"]
    assert issues({"a": 1}, {"allOf": [{"required": ["a"]}, {"required": ["b"]}]}) == ["/b: is missing"]


def test_an_answer_that_takes_too_long_to_check_is_told_as_that():
    with pytest.raises(
        InvalidInput, match="takes more than 50000 steps to hold the answer to: ask for less"
    ) as refused:
        issues([0] * 60_000, {"items": {"type": "integer"}})
    assert refused.value.issues[0].pointer == "/schema"


def test_a_reference_that_leads_nowhere_in_here_holds_to_nothing():
    for reference in ("#person", "other.json#/a", "#/$defs/nobody"):
        assert issues(1, {"properties": {}, "allOf": [{"$ref": reference}]}) == []


def test_strictness_is_seen():
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    assert is_closed(closed)
    assert is_closed({"type": "array", "items": closed})
    assert not is_closed({"type": "object"})
    assert not is_closed({"anyOf": [closed, {"type": "object", "additionalProperties": {"type": "string"}}]})
    assert not requires_all(closed)
    assert requires_all(closed | {"required": ["a"]})
    for odd in (5, True, [["a"]], None):
        assert not requires_all(closed | {"required": odd})


def test_the_fence_around_json_is_taken_off():
    assert read('```json\n{"a": 1}\n```', {}) == ({"a": 1}, [])
    assert read(" [1] ", {}) == ([1], [])
    assert "not JSON" in read("Sure! {}", {})[1][0]


def test_the_character_that_no_store_keeps_is_replaced():
    assert read(r'{"a\u0000": ["\u0000\u0000", "\\u0000", "\\\u0000"]}', {})[0] == {
        "a\ufffd": ["\ufffd\ufffd", "\\u0000", "\\\ufffd"]
    }
