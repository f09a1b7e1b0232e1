"""aurea_action as a worker runs it: its children, its ends, and what is not done twice."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from handlers.aurea_action import Action, WorkflowFailed, aurea_action
from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.sdk import Call, ChildFailed
from orchestrator.testing import FakeContext, TaskRun, run_task

DIAMOND = """
inputs:
  service: {type: string, required: true}
steps:
  - {id: build, uses: make, with: {target: "{{ inputs.service }}"}}
  - {id: test, uses: probe, needs: build, with: {image: "{{ steps.build.output.image }}"}}
  - id: scan
    uses: probe
    needs: build
    with: {image: "{{ steps.build.output.image }}", deep: true}
    retry: 1
    timeout: 30
  - {id: ship, uses: ship, needs: [test, scan], if: steps.test.output.passed == steps.scan.output.passed}
  - {id: clean, uses: make, needs: [test, scan, ship], always: true, with: {target: clean}}
outputs:
  image: "{{ steps.build.output.image }}"
  passed: "{{ steps.test.output.passed }}"
"""
INPUTS = {"service": "api"}


def made(payload: Any) -> Any:
    return {"image": f"{payload['target']}:7"}


def broken(_: Any) -> Any:
    raise ValueError("no such image")


CHILDREN: dict[str, Any] = {"make": made, "probe": {"passed": 12}, "ship": "https://api.example"}


def play(workflow: Any = DIAMOND, inputs: dict[str, Any] = INPUTS, **options: Any) -> TaskRun:
    return run_task(aurea_action, {"workflow": workflow, "inputs": inputs}, **({"children": CHILDREN} | options))


def types(run: TaskRun) -> list[str]:
    return [each.type for each in run.submitted]


def test_a_diamond_runs_each_step_once_and_gives_its_outputs() -> None:
    run = play()
    assert run.result == {
        "outputs": {"image": "api:7", "passed": 12},
        "steps": dict.fromkeys(("build", "test", "scan", "ship", "clean"), "succeeded"),
    }
    assert types(run) == ["make", "probe", "probe", "ship", "make"]
    scan = run.submitted[2]
    assert (scan.payload, scan.max_retries, scan.timeout_seconds) == ({"image": "api:7", "deep": True}, 1, 30)
    assert (run.submitted[1].max_retries, run.submitted[1].timeout_seconds) == (None, None)


def test_progress_adds_up_and_is_told_once_for_each_stage() -> None:
    told = play().progress
    assert [round(each.fraction, 1) for each in told] == [0.2, 0.6, 0.8, 1.0]
    assert told[0].text == "1 of 5 steps; running: test, scan"
    assert told[-1].text == "5 of 5 steps"


def test_a_failed_step_fails_the_workflow_for_good_after_the_clean_up() -> None:
    run = play(children=CHILDREN | {"probe": broken})
    assert run.error is not None
    assert (run.error.type, run.error.retryable) == ("WorkflowFailed", False)
    assert run.error.message == "2 of 5 steps failed; test: no such image; scan: no such image"
    assert types(run) == ["make", "probe", "probe", "make"]


def test_a_failure_that_is_allowed_can_be_looked_at() -> None:
    workflow = {
        "steps": [
            {"id": "a", "uses": "probe", "continue_on_error": True},
            {"id": "b", "uses": "make", "needs": "a", "with": {"target": "{{ steps.a.error.type }}"}},
        ],
        "outputs": ["{{ steps.a.status }}", "{{ steps.a.output }}", "{{ steps.b.output.image }}"],
    }
    run = play(workflow, {}, children=CHILDREN | {"probe": broken})
    assert run.result["outputs"] == ["failed", None, "ValueError:7"]


def test_a_loop_gives_its_children_s_results_in_order() -> None:
    workflow = {
        "steps": [
            {
                "id": "each",
                "uses": "make",
                "for_each": "{{ inputs.service }}",
                "with": {"target": "{{ item }}{{ index }}"},
            }
        ],
        "inputs": {"service": {"type": "array"}},
        "outputs": "{{ steps.each.output | map(attribute='image') | join(' ') }}",
    }
    run = play(workflow, {"service": ["x", "y", "z"]})
    assert run.result["outputs"] == "x0:7 y1:7 z2:7"
    assert play(workflow, {"service": []}).result == {"outputs": "", "steps": {"each": "succeeded"}}


@pytest.mark.parametrize(
    ("workflow", "inputs", "words"),
    [
        ("steps: [", {}, "is not YAML"),
        (DIAMOND, {}, "/inputs/service: is required"),
        ({"steps": [{"id": "a", "uses": "make", "needs": "b"}]}, {}, "/steps/0/needs/0: there is no step 'b'"),
    ],
)
def test_what_would_not_be_accepted_today_fails_for_good(workflow: Any, inputs: dict[str, Any], words: str) -> None:
    run = play(workflow, inputs)
    assert run.error is not None
    assert (run.error.type, words in run.error.message) == ("Terminal", True)
    assert run.submitted == []


def test_outputs_that_cannot_be_made_fail_for_good_and_say_so() -> None:
    run = play({"steps": [{"id": "a", "uses": "ship"}], "outputs": "{{ steps.a.output.nothing }}"}, {})
    assert run.error is not None
    assert "the outputs cannot be made" in run.error.message


def test_killed_anywhere_it_runs_every_child_once() -> None:
    whole = play()
    assert whole.boundaries >= 10
    for boundary in range(1, whole.boundaries + 1):
        run = play(kill_at=boundary)
        assert run.result == whole.result
        assert types(run) == types(whole), f"killed at {boundary}"


class Hall(FakeContext):
    """Children that end when the test says so, and refusals of what is called."""

    def __init__(self, play: Callable[[Call], Any], **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[list[str]] = []
        self._play = play

    async def call_all(self, calls: Sequence[Call], *, return_exceptions: bool = False) -> list[Any]:
        self.asked.append([str(call.name) for call in calls])
        answers = [self._play(call) for call in calls]
        fault = next((answer for answer in answers if isinstance(answer, Unavailable)), None)
        if fault is not None:
            raise fault
        return [await answer if asyncio.isfuture(answer) else answer for answer in answers]


LOOP = {
    "steps": [
        {"id": "a", "uses": "make", "for_each": [1, 2, 3], "with": "{{ item }}", "continue_on_error": True},
        {"id": "b", "uses": "make", "needs": "a"},
    ],
    "outputs": {"results": "{{ steps.a.output }}", "why": "{{ steps.a.error }}"},
}


async def test_a_child_that_is_refused_fails_alone() -> None:
    def refuse(call: Call) -> Any:
        return InvalidInput("/payload: no") if call.payload == 2 else call.payload

    ctx = Hall(refuse)
    result = await aurea_action(Action(workflow=LOOP), ctx)
    assert result["outputs"] == {
        "results": [1, None, 3],
        "why": {"type": "InvalidInput", "message": "/payload: no", "index": 1, "failed": 1},
    }
    assert ctx.asked == [["a[0]", "a[1]", "a[2]"], [ctx.asked[-1][0]]]
    assert ctx.asked[-1][0].startswith("b @")


async def test_a_cancelled_child_is_a_failed_step_that_names_its_task() -> None:
    gone = ChildFailed("id-1", "make", "cancelled", None)
    result = await aurea_action(Action(workflow=LOOP), Hall(lambda call: gone if call.payload == 1 else 0))
    assert result["outputs"]["why"] == {
        "type": "cancelled", "message": str(gone), "task_id": "id-1", "index": 0, "failed": 1,
    }  # fmt: skip


async def test_what_a_retry_may_heal_ends_the_attempt_and_not_the_step() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await aurea_action(Action(workflow=LOOP), Hall(lambda _: Unavailable("postgres")))
    assert raised.group_contains(Unavailable)
    assert not raised.group_contains(WorkflowFailed)


async def test_independent_steps_run_side_by_side_and_a_cancellation_reaches_all() -> None:
    waits: dict[str, asyncio.Future[Any]] = {}
    both = asyncio.Event()

    def begin(call: Call) -> Any:
        waits[str(call.name)] = asyncio.get_running_loop().create_future()
        if len(waits) == 2:
            both.set()
        return waits[str(call.name)]

    ctx = Hall(begin)
    steps = [{"id": "a", "uses": "make"}, {"id": "b", "uses": "make"}, {"id": "c", "uses": "make", "needs": ["a"]}]
    running = asyncio.create_task(aurea_action(Action(workflow={"steps": steps}), ctx))
    await both.wait()
    assert ctx.asked == [["a"], ["b"]]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [wait.cancelled() for wait in waits.values()] == [True, True]
