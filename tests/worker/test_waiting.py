"""Tasks that wait for children, moments and locks, and hold no worker meanwhile."""

from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.states import State
from orchestrator.domain.task import Task
from orchestrator.operations.cancel import cancel
from orchestrator.operations.fences import fresh_fence
from orchestrator.operations.read import get, page, runs, steps
from orchestrator.operations.replay import retry
from orchestrator.operations.why import why
from orchestrator.worker.chores import wakes
from tests.faults.system import until
from tests.worker.conftest import House
from tests.worker.waiting_handlers import HELD, RUNS


async def children_of(house: House, task: Task) -> list[Task]:
    return list((await page(house.runtime, DEFAULT_TENANT, TaskFilter(parent_id=task.id), None, 200)).items)


async def waiting(house: House, task: Task) -> None:
    """Return when the task is parked."""

    async def parked() -> bool:
        read = await house.runtime.ledger.read(DEFAULT_TENANT, task.id)
        return read is not None and read.status is State.WAITING

    await until(parked, 10, every=0.01)


async def test_a_parent_waits_for_its_children_without_holding_the_only_slot(house: House) -> None:
    RUNS.clear()
    task = await house.submit("family")
    async with house.worker(concurrency=1):
        ended = await house.ended(task)
    assert ended.result == {"first": 2, "two": [4, 6], "ten": [2 * n for n in range(10)]}
    assert (RUNS["double"], RUNS["between"], ended.attempt) == (13, 1, 1)
    assert len(await children_of(house, task)) == 13
    assert RUNS["family"] <= 6, "it is woken once all ten have ended, not by each"
    recorded = await runs(house.runtime, DEFAULT_TENANT, task.id)
    assert [run.status.value for run in recorded] == ["parked"] * (len(recorded) - 1) + ["succeeded"]
    told = await steps(house.runtime, DEFAULT_TENANT, task.id)
    assert len(told) == 14
    assert {"between", "third"} < {step.name for step in told}
    assert {step.status for step in told} == {"finished"}


@pytest.mark.parametrize(
    ("kind", "result"), [("thread_family", 18), ("process_family", {"doubled": 12, "locked": True})]
)
async def test_threads_and_processes_of_their_own_wait_like_the_loop(house: House, kind: str, result: object) -> None:
    task = await house.submit(kind)
    async with house.worker(concurrency=1):
        assert (await house.ended(task)).result == result


async def test_a_child_that_fails_reaches_its_parent_as_an_exception(house: House) -> None:
    lives, dies = await house.submit("hopeful", {"hopeful": True}), await house.submit("hopeful")
    async with house.worker():
        assert (await house.ended(lives)).result == "failed it never works"
        ended = await house.ended(dies)
    assert (ended.status, ended.attempt, (ended.error or {})["type"]) == (State.FAILED, 1, "ChildFailed")


async def test_what_cannot_be_called_stands_beside_what_was(house: House) -> None:
    task = await house.submit("mixed")
    async with house.worker():
        assert (await house.ended(task)).result == ["int", "ChildFailed", "InvalidInput", "UnknownType"]
    listed = await steps(house.runtime, DEFAULT_TENANT, task.id)
    told = sorted((step.name.split()[0], step.status, (step.error or {}).get("message")) for step in listed)
    assert told == [
        ("broken", "failed", "it never works"), ("double", "failed", None), ("double", "finished", None),
        ("unheard_of", "failed", None),
    ]  # fmt: skip


async def test_what_sleeps_a_moment_goes_on_beside_a_child_that_takes_longer(house: House) -> None:
    task = await house.submit("brief")
    async with house.worker():
        await waiting(house, task)
        listed = await steps(house.runtime, DEFAULT_TENANT, task.id)
    assert [step.name for step in listed if step.status == "finished"] == ["nap", "napped"]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("wait_in_step", "call"), ("wait_in_step", "sleep"), ("wait_in_step", "lock"), ("wait_in_thread_step", {})],
)
async def test_a_wait_inside_a_step_is_refused_at_once(house: House, kind: str, payload: object) -> None:
    task = await house.submit(kind, payload)
    async with house.worker():
        ended = await house.ended(task)
    assert ended.status is State.FAILED
    assert "cannot stand inside a step" in (ended.error or {})["message"]


@pytest.mark.parametrize("payload", ["step", "call"])
async def test_one_name_for_two_things_of_an_attempt_is_refused(house: House, payload: str) -> None:
    task = await house.submit("same_name", payload)
    async with house.worker():
        ended = await house.ended(task)
    assert "'check' was used before" in (ended.error or {})["message"]


async def test_cancelling_a_parent_cancels_its_children_down_to_the_last(house: House) -> None:
    task = await house.submit("nested", 2)
    async with house.worker():
        await waiting(house, task)
        (child,) = await children_of(house, task)
        await waiting(house, child)
        (grandchild,) = await children_of(house, child)
        await house.running(grandchild)
        assert (await why(house.runtime, DEFAULT_TENANT, task.id)).cause == "waiting_for_children"
        await cancel(house.runtime, DEFAULT_TENANT, task.id)
        for each in (task, child, grandchild):
            assert (await house.ended(each)).status is State.CANCELLED


async def test_a_child_that_is_cancelled_fails_its_parent(house: House) -> None:
    task = await house.submit("nested", 1)
    async with house.worker():
        await waiting(house, task)
        (child,) = await children_of(house, task)
        await house.running(child)
        await cancel(house.runtime, DEFAULT_TENANT, child.id)
        ended = await house.ended(task)
    assert (ended.status, (ended.error or {})["type"]) == (State.FAILED, "ChildFailed")


async def test_a_sleep_is_over_when_it_would_have_been_and_is_not_begun_again(house: House) -> None:
    task, asleep = await house.submit("sleeper", 2.5), await house.submit("sleeper", 3600.0)
    async with house.worker(), house.scheduler():
        await waiting(house, asleep)
        assert (await why(house.runtime, DEFAULT_TENANT, asleep.id)).cause == "sleeping"
        assert (await get(house.runtime, DEFAULT_TENANT, asleep.id)).progress == {"fraction": 0.2, "text": ""}
        ended = await house.ended(task)
    assert (ended.result, ended.attempt) == (2, 1)
    assert ended.finished_at is not None
    assert (ended.finished_at - ended.created_at).total_seconds() >= 2.5


async def test_one_task_at_a_time_holds_a_lock_over_its_sleep_and_the_next_is_woken(house: House) -> None:
    HELD.clear()
    tasks = [await house.submit("turns", {"seconds": 1.1}) for _ in range(3)]
    async with house.worker(concurrency=3), house.scheduler():
        fences = [(await house.ended(task)).result for task in tasks]
    assert len(set(fences)) == 3
    order = [task_id for word, task_id in HELD if word == "in"]
    assert [(word, task_id) for task_id in order for word in ("in", "out")] == HELD


async def test_the_lock_of_a_task_that_was_cancelled_is_free(house: House) -> None:
    holds = await house.submit("turns", {"seconds": 3600})
    async with house.worker(), house.scheduler():
        await waiting(house, holds)
        waits = await house.submit("turns", {"seconds": 0})
        await waiting(house, waits)
        told = await why(house.runtime, DEFAULT_TENANT, waits.id)
        assert (told.cause, holds.id in told.detail) == ("waiting_for_lock", True)
        await cancel(house.runtime, DEFAULT_TENANT, holds.id)
        assert (await house.ended(waits)).status is State.SUCCEEDED


async def test_what_a_process_that_died_left_waiting_is_found_by_the_chores(house: House) -> None:
    """A child whose end woke nobody, and one whose parent was cancelled without it."""
    task, gone = await house.submit("nested", 1), await house.submit("nested", 1)
    async with house.worker():
        for parent in (task, gone):
            await waiting(house, parent)
        (child,), (orphan,) = await children_of(house, task), await children_of(house, gone)
        await house.running(child)
        await house.running(orphan)
        ledger = house.runtime.ledger
        assert await ledger.cancel(DEFAULT_TENANT, child.id, await fresh_fence(house.runtime))
        assert await ledger.cancel(DEFAULT_TENANT, gone.id, await fresh_fence(house.runtime))
        timers, wakes_chore, orphans = wakes.chores(house.runtime)
        for chore in (timers, wakes_chore, orphans):
            assert not await chore.tick()
        assert (await house.ended(task)).status is State.FAILED
        assert (await house.ended(orphan)).status is State.CANCELLED


async def test_a_task_runs_again_from_what_it_has_not_finished_from_a_step_or_from_the_start(house: House) -> None:
    task = await house.submit("ten_steps", {"fail_behind": 4})

    async def again(**beginning: Any) -> list[int]:
        await retry(house.runtime, DEFAULT_TENANT, task.id, **beginning)
        result: list[int] = (await house.ended(task)).result
        return result

    async with house.worker():
        assert (await house.ended(task)).status is State.FAILED
        assert await again() == [1] * 10
        assert await again(from_step="step 7") == [1] * 7 + [2] * 3
        assert await again(start_over=True) == [2] * 7 + [3] * 3
        with pytest.raises(InvalidInput, match="no step 'step 70'"):
            await retry(house.runtime, DEFAULT_TENANT, task.id, from_step="step 70")


async def test_a_replay_calls_again_what_failed_and_keeps_what_succeeded(house: House) -> None:
    RUNS.clear()
    task = await house.submit("hopeful", {"double": True})
    async with house.worker():
        await house.ended(task)
        await retry(house.runtime, DEFAULT_TENANT, task.id)
        await house.ended(task)
    children = [(child.type, child.status.value) for child in await children_of(house, task)]
    assert sorted(children) == [("broken", "failed"), ("broken", "failed"), ("double", "succeeded")]
    assert RUNS["double"] == 1
