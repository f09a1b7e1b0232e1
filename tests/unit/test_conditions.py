"""Conditions in CEL, and the walls around them."""

from typing import Any

import pytest

from orchestrator.domain.conditions import BadCondition, Condition, Facts, Unanswerable

NAMES = ("event", "headers", "body")
VALUES: dict[str, Any] = {
    "event": "issues",
    "headers": {"x-id": "7"},
    "body": {"action": "opened", "number": 3, "labels": [{"name": "bug"}, {"name": "urgent"}], "milestone": None},
}


def holds(text: str, values: dict[str, Any] = VALUES) -> bool:
    return Condition(text, NAMES).holds(Facts(values))


@pytest.mark.parametrize(
    "text",
    [
        'event == "issues" && body.action in ["opened", "reopened"]',
        "body.number > 2",
        'body.labels.exists(label, label.name == "bug")',
        "size(body.labels) == 2",
        'body.action.startsWith("open")',
        'body.action.matches("^open(ed)?$")',
        'headers["x-id"] == "7"',
        "!has(body.draft) || !body.draft",
        'body.missing == 1 || body.action == "opened"',
        "body.milestone == null",
        'body.labels.filter(l, l.name == "bug").size() == 1 && body.labels.all(l, l.name != "")',
        'body.action == "opened" // a remark',
    ],
)
def test_a_condition_that_is_true_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "body.number > 3",
        "body.missing == 1",
        "body.missing.deeper == 1",
        'headers["x-other"] == "7"',
        "body.labels[9].name == 'x'",
    ],
)
def test_what_is_missing_is_false(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize("text", ['body.number > "a"', "body.milestone.title == 'x'", "body.number / 0 == 1"])
def test_values_that_do_not_fit_are_told_apart(text: str) -> None:
    with pytest.raises(Unanswerable):
        holds(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("body.", "is not CEL"),
        ("", "is not CEL"),
        ("bodi.action == 1", "no variable 'bodi'"),
        ("lower(body.action) == 'x'", "no function 'lower'"),
        ("body.labels.map(a, body.labels.map(b, b)).size() > 0", "inside another"),
        ("body.labels.exists(a, a.name == ')' && body.labels.exists(b, true))", "inside another"),
        ("body.labels.exists(a, a.name == r'\\' && body.labels.exists(b, true))", "inside another"),
        ("body.labels.exists//\n(a, body.labels.exists /**/ (b, true))", "is not CEL|inside another"),
        ("body.labels.exists//)\n(a, body.labels.exists//(\n(b, true))", "inside another"),
        ("body.labels . filter ( a , body.labels . exists ( b , true ) ).size() > 0", "inside another"),
        ("body.number == " + "1 + " * 600 + "1", "at most 2000 characters"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_when_it_is_read(text: str, complaint: str) -> None:
    with pytest.raises(BadCondition, match=complaint):
        Condition(text, NAMES)


@pytest.mark.parametrize("text", ["body.action", "body.number", 'body.action.matches("(")'])
def test_a_condition_that_is_no_yes_or_no_is_refused_when_it_is_asked(text: str) -> None:
    with pytest.raises(BadCondition):
        holds(text)


def test_no_comprehension_runs_over_a_huge_list() -> None:
    values = {**VALUES, "body": {"deep": [{"labels": list(range(10_001))}]}}
    with pytest.raises(BadCondition, match="10000 elements"):
        holds("body.deep.exists(each, each == 1)", values)
    assert holds("size(body.deep) == 1", values)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("body.labels[0].name == event", [("body", "labels"), ("event",)]),
        ("body['action'] == \"body.x\" && has(body.draft) // headers.y", [("body", "action"), ("body", "draft")]),
        (
            'body.labels.exists(l, l.name == event) && event.startsWith("e")',
            [("body", "labels"), ("event",), ("event",)],
        ),
        ('headers["x-id"].size() > 1', [("headers",)]),
        ("body[event] == 1", [("body",), ("event",)]),
    ],
)
def test_what_a_condition_looks_at_is_known_before(text: str, paths: list[tuple[str, ...]]) -> None:
    assert sorted(Condition(text, NAMES).reads) == paths
