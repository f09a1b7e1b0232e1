"""What a task has finished, over HTTP, and running it again from there."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.ids import TaskId
from orchestrator.domain.outcome import Failed, Parked, Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.steps import Step, StepKind, Wait
from orchestrator.domain.task import TaskError
from orchestrator.operations.park import park
from orchestrator.operations.record import begin_steps, save_step
from tests.api.door import WORKER, Door, claim, end

FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)


async def test_steps_are_listed_in_their_order_with_what_they_wait_for(door: Door) -> None:
    task = await door.submit()
    claimed = await claim(door.runtime)
    child = door.runtime.clock.task_id()
    await save_step(door.runtime, claimed, "fetch", b'{"pages": 3}')
    await begin_steps(door.runtime, claimed, [Step("greet 1", kind=StepKind.CALL, child_id=child)])
    await begin_steps(door.runtime, claimed, [Step("sleep 1", kind=StepKind.SLEEP, seconds=3600.0)])
    items = (await door.http.get(f"/tasks/{task['id']}/steps")).json()["items"]
    assert [(step["name"], step["kind"], step["status"]) for step in items] == [
        ("fetch", "step", "finished"), ("greet 1", "call", "waiting"), ("sleep 1", "sleep", "waiting"),
    ]  # fmt: skip
    assert (items[0]["result"], items[1]["child_id"]) == ({"pages": 3}, child)
    assert datetime.fromisoformat(items[2]["wake_at"]) > datetime.now(UTC) + timedelta(minutes=59)
    assert (await door.http.get(f"/tasks/{door.runtime.clock.task_id()}/steps")).status_code == 404


@pytest.mark.parametrize(
    ("body", "left"),
    [(None, ["a", "b", "c"]), ({}, ["a", "b", "c"]), ({"from_step": "b"}, ["a"]), ({"start_over": True}, [])],
)
async def test_a_task_is_run_again_from_where_the_caller_says(door: Door, body: object, left: list[str]) -> None:
    task = await door.submit()
    claimed = await claim(door.runtime)
    for name in "abc":
        await save_step(door.runtime, claimed, name, b"1")
    await end(door.runtime, claimed, Failed(TaskError("Boom", "no", False, "f")))
    path = f"/tasks/{task['id']}/retry"
    answer = await (door.http.post(path) if body is None else door.http.post(path, json=body))
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    items = (await door.http.get(f"/tasks/{task['id']}/steps")).json()["items"]
    assert [step["name"] for step in items] == left


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"from_step": "z"}, "/from_step"),
        ({"from_step": ""}, "/from_step"),
        ({"from_step": "a", "start_over": True}, ""),
        ({"from": "a"}, "/from"),
        ([], ""),
    ],
)
async def test_a_wrong_beginning_is_refused_and_nothing_is_forgotten(door: Door, body: object, pointer: str) -> None:
    task = await door.submit()
    claimed = await claim(door.runtime)
    await save_step(door.runtime, claimed, "a", b"1")
    await end(door.runtime, claimed, Failed(TaskError("Boom", "no", False, "f")))
    answer = await door.http.post(f"/tasks/{task['id']}/retry", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    shown = (await door.http.get(f"/tasks/{task['id']}")).json()
    assert shown["status"] == "failed"
    assert len((await door.http.get(f"/tasks/{task['id']}/steps")).json()["items"]) == 1


async def test_a_waiting_task_says_so_and_a_stale_attempt_parks_nothing(door: Door) -> None:
    task = await door.submit()
    claimed = await claim(door.runtime)
    ending = decide(claimed, Parked(Wait(wake_at=FAR_OFF)), RetryPolicy(), 0.5)
    assert await park(door.runtime, WORKER, ending)
    shown = (await door.http.get(f"/tasks/{task['id']}")).json()
    assert (shown["status"], shown["attempt"], shown["worker_id"]) == ("waiting", 1, None)
    assert (await door.http.get(f"/tasks/{task['id']}/why")).json()["cause"] == "sleeping"
    runs = (await door.http.get(f"/tasks/{task['id']}/runs")).json()["items"]
    assert [run["status"] for run in runs] == ["parked"]
    assert (await door.http.post(f"/tasks/{task['id']}/cancel")).json()["status"] == "cancelled"
    assert not await park(door.runtime, WORKER, ending)
    assert (await door.http.get(f"/tasks/{task['id']}")).json()["status"] == "cancelled"


async def test_a_child_that_ended_before_its_parent_was_parked_wakes_it_at_once(door: Door) -> None:
    await door.submit()
    child_claim = await claim(door.runtime)
    child_id = TaskId(child_claim.entry.id)
    parent = await door.submit()
    parent_claim = await claim(door.runtime)
    await end(door.runtime, child_claim, Succeeded(b"1"))
    ending = decide(parent_claim, Parked(Wait(children=(child_id,), every_child=True)), RetryPolicy(), 0.5)
    assert await park(door.runtime, WORKER, ending)
    shown = (await door.http.get(f"/tasks/{parent['id']}")).json()
    assert (shown["status"], shown["attempt"]) == ("queued", 0)
    again = await claim(door.runtime)
    assert (again.entry.id, again.attempt) == (parent["id"], 1)
    assert again.fence > parent_claim.fence
    assert datetime.now(UTC) - timedelta(minutes=5) < datetime.fromisoformat(shown["run_at"])
