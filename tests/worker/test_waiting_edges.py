"""Waiting where it is easy to get wrong: beside other work, inside what catches everything, past an expiry."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.states import State
from orchestrator.domain.task import Task
from orchestrator.operations.read import page
from orchestrator.operations.replay import retry
from tests.faults.system import until
from tests.worker import edge_handlers
from tests.worker.conftest import House
from tests.worker.edge_handlers import RAN


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """What `edge_slow` waits for; one of this test's own loop."""
    event = asyncio.Event()
    monkeypatch.setattr(edge_handlers, "LET_GO", event)
    return event


async def parked(house: House, task: Task) -> None:
    async def is_waiting() -> bool:
        read = await house.runtime.ledger.read(DEFAULT_TENANT, task.id)
        return read is not None and read.status is State.WAITING

    await until(is_waiting, 10, every=0.01)


async def test_calls_without_names_side_by_side_each_get_their_own_answer(house: House) -> None:
    """Parking changes the order in which the chains come to their second calls."""
    task = await house.submit("chains")
    async with house.worker():
        assert (await house.ended(task)).result == [["a1", "a2"], ["b1", "b2"]]


async def test_a_task_that_has_begun_does_not_expire_while_it_waits(house: House) -> None:
    expires_at = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    task = await house.submit("long_nap", expires_at=expires_at)
    async with house.worker(), house.scheduler():
        assert (await house.ended(task)).status is State.SUCCEEDED


async def test_a_handler_that_catches_everything_is_parked_all_the_same(house: House) -> None:
    RAN.clear()
    task = await house.submit("catcher")
    async with house.worker():
        ended = await house.ended(task)
    assert (ended.status, ended.result, ended.attempt) == (State.SUCCEEDED, "a", 1)
    assert RAN["clean-up"] == 1, "what unwinds for a park does nothing"


async def test_a_lock_that_is_held_is_not_entered_again(house: House) -> None:
    task = await house.submit("relock")
    async with house.worker():
        ended = await house.ended(task)
    assert "holds the lock" in (ended.error or {})["message"]


async def test_a_lock_is_not_entered_by_two_branches_of_one_task(house: House) -> None:
    task = await house.submit("two_branches")
    async with house.worker():
        ended = await house.ended(task)
    assert "holds the lock" in (ended.error or {})["message"]


async def test_a_handler_that_catches_its_parking_leaves_no_lock(house: House, let_go: asyncio.Event) -> None:
    """It walks out of the block as if all were well; the task is parked inside, and goes on holding the lock."""
    holds = await house.submit("lock_catcher")
    async with house.worker(), house.scheduler():
        await parked(house, holds)
        waits = await house.submit("lock_taker")
        await parked(house, waits)
        assert await house.runtime.ledger.lock_holder(DEFAULT_TENANT, "caught") == holds.id
        let_go.set()
        assert (await house.ended(holds)).status is State.SUCCEEDED
        assert (await house.ended(waits)).status is State.SUCCEEDED


async def test_a_task_that_is_run_again_waits_for_the_child_that_runs_still(
    house: House, let_go: asyncio.Event
) -> None:
    task = await house.submit("half_failed")
    async with house.worker():
        assert (await house.ended(task)).status is State.FAILED
        await retry(house.runtime, DEFAULT_TENANT, task.id)
        let_go.set()
        assert (await house.ended(task)).status is State.FAILED
        async with asyncio.timeout(10):
            children = list((await page(house.runtime, DEFAULT_TENANT, TaskFilter(parent_id=task.id), None, 50)).items)
    assert sorted(child.type for child in children) == ["edge_broken", "edge_broken", "edge_slow"]
