"""Pydantic's findings become one sentence for each place, and name the fix."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from app.issues import validated
from orchestrator.domain.errors import InvalidInput


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=3)]
    count: Annotated[int, Field(ge=0, le=9)] | None = None
    life: Literal["long", "short"] | Annotated[int, Field(ge=1)] = "long"
    wait: Annotated[float, Field(ge=0, le=2.5)] = 0
    tags: dict[Annotated[str, Field(min_length=1)], str] = {}


@pytest.mark.parametrize(
    ("value", "issues"),
    [
        ({}, {"/name": "is required"}),
        (
            {"name": "a", "nmae": 1},
            {"/nmae": "is not a known field: remove it, or use one of name, count, life, wait, tags"},
        ),
        ({"name": "abcd"}, {"/name": "must have at most 3 characters"}),
        ({"name": 5}, {"/name": "must be a string"}),
        ({"name": "a", "count": 10}, {"/count": "must be at most 9"}),
        ({"name": "a", "count": -1}, {"/count": "must be at least 0"}),
        ({"name": "a", "count": "5"}, {"/count": "must be a whole number, not text and not true or false"}),
        ({"name": "a", "count": True}, {"/count": "must be a whole number, not text and not true or false"}),
        ({"name": "a", "wait": -1}, {"/wait": "must be at least 0"}),
        ({"name": "a", "wait": 3}, {"/wait": "must be at most 2.5"}),
        ({"name": "a", "tags": {"a/b": 1}}, {"/tags/a~1b": "must be a string"}),
        ({"name": "a", "tags": {"": "x"}}, {"/tags/": "must have at least 1 characters"}),
        (
            {"name": "a", "life": "middle"},
            {"/life": "must be one of 'long' or 'short', or must be a whole number, not text and not true or false"},
        ),
        ([], {"": "must be an object"}),
        (None, {"": "must be an object"}),
        ({"name": 1, "count": 10}, {"/name": "must be a string", "/count": "must be at most 9"}),
    ],
)
def test_each_place_gets_one_sentence(value: Any, issues: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        validated(Wanted, value)
    assert {issue.pointer: issue.detail for issue in refused.value.issues} == issues


def test_the_error_itself_names_the_first_place_and_never_a_value() -> None:
    with pytest.raises(InvalidInput) as refused:
        validated(Wanted, {"name": "secret", "count": "hush"})
    assert str(refused.value) == "/name must have at most 3 characters (and 1 more)"
    assert "hush" not in str(refused.value.issues)


def test_a_value_that_fits_comes_back_as_the_model() -> None:
    assert validated(Wanted, {"name": "abc"}).name == "abc"
