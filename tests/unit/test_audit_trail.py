"""Trails without a database: what shares a line, what may stand in one, and hashes that anybody can compute."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from orchestrator.domain.audit import (
    NO_HASH,
    Act,
    Broken,
    Head,
    Line,
    chained,
    document,
    followed,
    gathered,
    read_line,
    storable,
    written,
)
from orchestrator.domain.ids import TaskId, Tenant

GUIDE = Path(__file__).parents[2] / "docs" / "security.md"


def act(**given: Any) -> Act:
    fields: dict[str, Any] = {
        "tenant": Tenant("acme"), "actor_kind": "key", "actor_id": "k1", "action": "tasks_create", "status": 201,
        "address": "192.0.2.1", "trace_id": "ab" * 16, "targets": ["t1"], "details": {"body_sha256": "b1"},
        "shared": True,
    } | given  # fmt: skip
    return Act(**fields)


def trail(acts: Sequence[Act]) -> list[dict[str, Any]]:
    """The lines of these acts as the API shows them."""
    told, before = [], NO_HASH
    for number, each in enumerate(acts, 1):
        content = document(Line(TaskId(f"id-{number}"), datetime(2026, 11, 20, 12, 0, 0, number, UTC), each))
        before = chained(before, number, sha256(written(content)).digest())
        told.append({"number": number, **content, "hash": before.hex()})
    return orjson.loads(orjson.dumps(told))


def test_what_one_caller_did_alike_at_one_moment_shares_a_line() -> None:
    acts = [act(targets=[f"t{n}"], details={"body_sha256": f"b{n}"}, trace_id=f"trace-{n}") for n in range(3)]
    (line,) = gathered(acts)
    assert (line.targets, line.trace_id) == (["t0", "t1", "t2"], "trace-0")
    assert line.details == {"body_sha256": "b0,b1,b2", "requests": 3}


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": Tenant("globex")}, {"actor_kind": "user"}, {"actor_id": "k2"}, {"action": "tasks_retry"},
        {"status": 200}, {"address": "192.0.2.2"}, {"shared": False},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_what_differs_in_who_or_what_or_from_where_has_a_line_of_its_own(other: dict[str, Any]) -> None:
    lines = gathered([act(targets=["mine"]), act(targets=["other"], **other), act(targets=["mine too"])])
    assert [line.targets for line in lines] == [["mine", "mine too"], ["other"]]


def test_what_stands_alone_is_left_as_it_is() -> None:
    alone = [act(shared=False, details={"tasks": 2}) for _ in range(2)]
    assert gathered(alone) == alone


@pytest.mark.parametrize(
    ("given", "kept"), [("a\x00b", "a�b"), ("\ud800", "�"), ("é\u202e", "é\u202e"), ("x" * 300, "x" * 200)]
)
def test_text_from_outside_is_made_such_that_a_line_can_hold_it(given: str, kept: str) -> None:
    assert storable(given) == kept


def test_a_line_is_read_back_from_its_document() -> None:
    line = Line(TaskId("id-1"), datetime(2026, 11, 20, 12, tzinfo=UTC), act(shared=False))
    assert read_line(orjson.loads(written(document(line)))) == line


def test_a_line_that_was_put_in_breaks_the_trail() -> None:
    lines = trail([act(), act(), act()])
    assert [head.number for head in followed(lines)] == [1, 2, 3]
    with pytest.raises(Broken, match="line 3 is missing: line 2 stands in its place"):
        list(followed([lines[0], lines[1], lines[1], lines[2]]))


def test_two_lines_that_changed_places_break_the_trail() -> None:
    first, second, third = trail([act(), act(targets=["t2"]), act(targets=["t3"])])
    second["number"], third["number"] = 3, 2
    with pytest.raises(Broken, match="line 2 is not as it was written"):
        list(followed([first, third, second]))


def test_the_places_before_a_break_are_told_and_an_empty_trail_is_whole() -> None:
    lines = trail([act(), act(), act()])
    lines[2]["status"] = 200
    good: list[Head] = []
    with pytest.raises(Broken):
        good.extend(followed(lines))
    assert [head.number for head in good] == [1, 2]
    assert list(followed([])) == []
    with pytest.raises(Broken, match="line 7 was noted"):
        list(followed([], [Head(7, "00")]))


def test_the_program_of_the_guide_computes_the_same_hashes() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    lines = trail([act(targets=["é", 'a "quoted" \\ one'], details={"requests": 2}), act(shared=False, details={})])
    space: dict[str, Any] = {"lines": lines}
    exec(program, space)
    assert space["hash"].hex() == lines[-1]["hash"]
    lines[0]["address"] = "192.0.2.9"
    with pytest.raises(AssertionError):
        exec(program, {"lines": lines})
