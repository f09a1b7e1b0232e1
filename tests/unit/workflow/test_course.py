"""How a workflow goes: who begins when, who is skipped, what failed, and that coming by again changes nothing."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.templates import BadTemplate
from orchestrator.domain.workflow.course import Answer, Course, Status
from orchestrator.domain.workflow.effort import MOST_VALUES
from orchestrator.domain.workflow.parsing import parse
from orchestrator.domain.workflow.planning import Child

Play = Callable[[Child], Answer]


def course_of(*steps: dict[str, Any], inputs: dict[str, Any] | None = None, **rest: Any) -> Course:
    written = [{"id": f"s{place}", "uses": "make"} | step for place, step in enumerate(steps)]
    workflow, issues = parse({"steps": written, "inputs": dict.fromkeys(inputs or {})} | rest)
    assert issues == []
    return Course(workflow, inputs or {}, "task-1")


def finish(course: Course, play: Play) -> list[Child]:
    """Run it to its end and return the children in the order in which they began."""
    ran: list[Child] = []
    while begun := course.begin():
        for each in begun:
            children = [child for child in each.children if child]
            ran += children
            course.end(each, [play(child) for child in children])
    return ran


def ok(child: Child) -> Answer:
    return Answer(output=child.payload)


def failing(*names: str) -> Play:
    def play(child: Child) -> Answer:
        if child.name.split("[")[0].split(" @")[0] in names or child.name in names:
            return Answer(error={"type": "Boom", "message": f"{child.name} broke"}, child_id=f"id-of-{child.name}")
        return ok(child)

    return play


def statuses(course: Course) -> str:
    """`s`ucceeded, `f`ailed, `-` skipped, in the order of the steps."""
    return "".join({"succeeded": "s", "failed": "f", "skipped": "-"}[status] for status in course.statuses.values())


def test_steps_begin_as_soon_as_their_needs_have_ended() -> None:
    course = course_of({}, {}, {"needs": "s0"}, {"needs": ["s1", "s2"]})
    first, second = course.begin()
    assert (first.step.id, second.step.id) == ("s0", "s1")
    assert course.standing == "0 of 4 steps; running: s0, s1"
    course.end(first, [Answer("a")])
    (third,) = course.begin()
    assert third.step.id == "s2"
    course.end(third, [Answer("c")])
    assert course.begin() == []
    course.end(second, [Answer("b")])
    (fourth,) = course.begin()
    course.end(fourth, [Answer("d")])
    assert (course.begin(), course.fraction, course.standing) == ([], 1.0, "4 of 4 steps")


CHAIN = ({}, {"needs": "s0"}, {"needs": "s1"})


@pytest.mark.parametrize(
    ("steps", "broken", "expected", "fails"),
    [
        (CHAIN, (), "sss", False),
        (CHAIN, ("s0",), "f--", True),
        (CHAIN, ("s1",), "sf-", True),
        (({}, {}, {"needs": "s0"}), ("s1",), "sfs", True),  # the other branch goes on
        (({"continue_on_error": True}, *CHAIN[1:]), ("s0",), "fss", False),
        (({}, {"needs": "s0", "always": True}), ("s0",), "fs", True),
        (({}, {"needs": "s0"}, {"needs": "s1", "always": True}), ("s0",), "f-s", True),
        (({}, {"needs": "s0", "always": True}, {"needs": "s1"}), ("s0",), "fss", True),  # only its own needs decide
        (({}, {"needs": "s0", "always": True}, {"needs": ["s0", "s1"]}), ("s0",), "fs-", True),
        (({"if": "false"}, {"needs": "s0"}), (), "--", False),
        (({"if": "false"}, {"needs": "s0", "always": True}), (), "-s", False),
        (({"if": "false", "continue_on_error": True}, {"needs": "s0"}), (), "--", False),
        (({}, {"needs": "s0", "always": True, "if": 'steps.s0.status == "failed"'}), ("s0",), "fs", True),
        (({}, {"needs": "s0", "always": True, "if": 'steps.s0.status == "failed"'}), (), "s-", False),
        (({}, {"needs": "s0", "always": True, "if": 'steps.exists(s, steps[s].status == "failed")'}), (), "s-", False),
        (({}, {"needs": "s0", "if": "steps.s0.output.missing == 1"}), (), "s-", False),
        (
            ({"continue_on_error": True}, {"needs": "s0", "if": "steps.s0.output.x == 1"}),
            ("s0",),
            "f-",
            False,
        ),  # a look into null
        (({}, {"needs": "s0", "if": "steps.s0.error == null && steps.s0.output == {}"}), (), "ss", False),
        (({}, {"needs": "s0", "if": 'steps.s0.status > 1'}), (), "sf", True),
        (({"with": "{{ inputs.a.b }}"}, {"needs": "s0"}), (), "f-", True),
        (({"with": {"x": "{{ inputs.a.b | default(3) }}"}},), (), "s", False),
        (({"for_each": "{{ inputs.a }}"},), (), "f", True),
        (({"for_each": []}, {"needs": "s0"}), (), "ss", False),
        (({"for_each": [1, 2]}, {"needs": "s0"}), ("s0",), "f-", True),
    ],
)  # fmt: skip
def test_what_becomes_of_each_step(steps: Any, broken: tuple[str, ...], expected: str, fails: bool) -> None:
    course = course_of(*steps, inputs={"a": {}})
    finish(course, failing(*broken))
    assert (statuses(course), bool(course.failed)) == (expected, fails)


def test_values_keep_their_types_on_the_way() -> None:
    course = course_of(
        {
            "with": {
                "n": "{{ inputs.n }}",
                "text": "n={{ inputs.n }}",
                "list": ["{{ inputs.l }}"],
                "id": "{{ task.id }}",
            }
        },
        {"needs": "s0", "with": "{{ steps.s0.output.list[0] }}", "retry": 4, "timeout": 7},
        inputs={"n": 3, "l": [1, {"a": None}]},
        outputs={"n": "{{ steps.s0.output.n }}", "how": "{{ steps.s1.status }}", "why": "{{ steps.s1.error }}"},
    )
    first, second = finish(course, ok)
    assert first.payload == {"n": 3, "text": "n=3", "list": [[1, {"a": None}]], "id": "task-1"}
    assert (second.payload, second.type, second.max_retries, second.timeout_seconds) == ([1, {"a": None}], "make", 4, 7)
    assert course.outputs() == {"n": 3, "how": "succeeded", "why": None}


def test_a_loop_gives_its_results_in_order_and_leaves_out_what_its_condition_refuses() -> None:
    course = course_of(
        {"for_each": "{{ inputs.l }}", "if": "item != 2 && index < 3", "with": "{{ item }}/{{ index }}"},
        {"needs": "s0", "with": "{{ steps.s0.output }}"},
        inputs={"l": [1, 2, 3, 4]},
    )
    ran = finish(course, ok)
    assert [child.name for child in ran] == ["s0[0]", "s0[2]", "s1"]
    assert ran[-1].payload == ["1/0", None, "3/2", None]


def test_a_loop_fails_with_its_first_failure_and_keeps_the_other_results() -> None:
    course = course_of({"for_each": ["a", "b", "c"], "with": "{{ item }}", "continue_on_error": True})
    finish(course, failing("s0[1]", "s0[2]"))
    end = course.ended["s0"]
    assert (end.status, end.output) == (Status.FAILED, ["a", None, None])
    assert end.error == {"type": "Boom", "message": "s0[1] broke", "index": 1, "failed": 2}
    assert not course.failed


def test_a_nested_workflow_keeps_its_own_templates() -> None:
    inner = {"inputs": {"x": {}}, "steps": [{"id": "a", "uses": "make", "with": "{{ inputs.x }}"}]}
    course = course_of(
        {"uses": "aurea_action", "with": {"workflow": inner, "inputs": {"x": "{{ inputs.y }}"}}}, inputs={"y": 5}
    )
    assert finish(course, ok)[0].payload == {"workflow": inner, "inputs": {"x": 5}}


def test_what_comes_behind_a_failure_is_done_anew_once_that_is_healed() -> None:
    steps = ({}, {}, {"needs": ["s0", "s1"], "always": True}, {"needs": "s2"}, {"needs": "s1"})
    broken = course_of(*steps)
    before = [child.name for child in finish(broken, failing("s0"))]
    after = [child.name for child in finish(course_of(*steps), ok)]
    assert after == ["s0", "s1", "s2", "s4", "s3"]
    assert [name.split(" @")[0] for name in before] == after
    assert {name for name in before if name not in after} == set(before) - {"s0", "s1", "s4"}
    again = [child.name for child in finish(course_of(*steps), failing("s0"))]
    assert again == before


def test_a_clean_up_behind_a_skipped_step_is_done_anew_too() -> None:
    course = course_of({}, {"needs": "s0"}, {"needs": "s1", "always": True})
    assert [child.name.split(" ")[0] for child in finish(course, failing("s0"))] == ["s0", "s2"]
    assert course.begin() == []
    assert [child.name for child in finish(Course(course.workflow, {}, "task-1"), ok)] == ["s0", "s1", "s2"]
    marked = finish(Course(course.workflow, {}, "task-1"), failing("s0"))[1].name
    assert marked.startswith("s2 @")


@pytest.mark.parametrize(
    "step",
    [
        {"with": " ".join(["{{ inputs.text }}"] * 400)},
        {"with": ["{{ inputs.list }}"] * 100},
        {"with": "{{ inputs.list | map('join', inputs.text) | list }}"},
        {"with": "{{ inputs.list | select('in', inputs.list) | list }}"},
        {"with": "{{ inputs.list" + " | sort" * 60 + " }}"},
        {"if": "inputs.list.exists(x, x in inputs.list)"},
        {"if": "inputs.text + " * 120 + 'inputs.text == ""'},
        {"for_each": list(range(1000)), "if": "item in inputs.list"},
        {"for_each": list(range(1000)), "with": "{{ inputs.list | first }}"},
        {"for_each": "{{ inputs.list }}"},
    ],
)
def test_expressions_that_are_too_much_work_fail_before_they_begin(step: dict[str, Any]) -> None:
    course = course_of(step, inputs={"list": list(range(9_000)), "text": "x" * 900_000})
    finish(course, ok)
    assert course.ended["s0"].status is Status.FAILED
    assert any(word in course.ended["s0"].error["message"] for word in (str(MOST_VALUES), "1000000", "at most 1000"))


def test_outputs_have_the_same_bounds() -> None:
    course = course_of({}, inputs={"text": "x" * 900_000}, outputs={"a": "{{ inputs.text }}", "b": "{{ inputs.text }}"})
    finish(course, ok)
    with pytest.raises(BadTemplate, match="1000000"):
        course.outputs()


@dataclass(frozen=True)
class Drawn:
    """One step of a drawn workflow, and what becomes of its child."""

    needs: tuple[int, ...]
    always: bool
    lenient: bool
    condition: bool
    breaks: bool


@st.composite
def graphs(draw: st.DrawFn) -> list[Drawn]:
    steps: list[Drawn] = []
    for place in range(draw(st.integers(1, 8))):
        needs = draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set()
        flags = draw(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4), st.booleans()))
        steps.append(Drawn(tuple(sorted(needs)), flags[0] and bool(needs), flags[1], flags[2] > 0, flags[3]))
    return steps


def reference(steps: list[Drawn]) -> list[str]:
    """The semantics as the documentation tells them."""
    ends: list[str] = []
    for step in steps:
        held_up = any(ends[need] == "-" or (ends[need] == "f" and not steps[need].lenient) for need in step.needs)
        runs = (step.always or not held_up) and step.condition
        ends.append(("f" if step.breaks else "s") if runs else "-")
    return ends


@given(graphs(), st.integers(0, 2**32))
def test_any_workflow_goes_as_the_reference_says_however_often_it_starts_over(steps: list[Drawn], seed: int) -> None:
    """Children end in any order; after each end the attempt may be cut, and the next comes by the same children."""
    chance = random.Random(seed)
    written = [
        {
            "needs": [f"s{need}" for need in step.needs],
            "always": step.always,
            "continue_on_error": step.lenient,
            "if": step.condition,
            "with": {need: f"{{{{ steps.s{need}.status }}}}" for need in map(str, step.needs)},
        }
        for step in steps
    ]
    shuffled = chance.sample([step | {"id": f"s{place}"} for place, step in enumerate(written)], len(written))
    kept: dict[str, Answer] = {}
    seen: dict[str, Any] = {}
    course = course_of(*shuffled)
    under_way = course.begin()
    while under_way:
        for each in under_way:
            (child,) = each.children
            assert child is not None
            assert seen.setdefault(child.name, child.payload) == child.payload
        known = [each for each in under_way if each.children[0].name in kept]  # type: ignore[union-attr]
        ending = chance.choice(known or under_way)
        name = ending.children[0].name  # type: ignore[union-attr]
        if name not in kept:
            breaks = steps[int(ending.step.id[1:])].breaks
            kept[name] = Answer(error={"message": "broke"}, child_id=name) if breaks else Answer("done")
            if chance.random() < 0.3:
                course = Course(course.workflow, {}, "task-1")
                under_way = course.begin()
                continue
        course.end(ending, [kept[name]])
        under_way = [each for each in under_way if each is not ending] + course.begin()
    ends = reference(steps)
    assert {int(step[1:]): status for step, status in course.statuses.items()} == {
        place: {"s": "succeeded", "f": "failed", "-": "skipped"}[end] for place, end in enumerate(ends)
    }
    assert bool(course.failed) == any(end == "f" and not steps[place].lenient for place, end in enumerate(ends))
    assert len(kept) == sum(end != "-" for end in ends)
