"""A wake that comes by a roundabout way comes all the same, and no chore helps."""

from typing import Any

import pytest

from orchestrator.domain.ids import DEFAULT_TENANT, WorkerId
from orchestrator.domain.outcome import Parked, Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.states import State
from orchestrator.domain.steps import Wait
from orchestrator.domain.task import Claim, Settlement, Task
from orchestrator.ledger import outbox_records
from orchestrator.operations.park import park
from orchestrator.operations.relay import Relay
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.sweep import take_back
from orchestrator.operations.wake import wake
from tests.faults.system import until
from tests.worker.conftest import House

WORKER = WorkerId("worker-1")


async def claim(house: House, hold_ms: int = 60_000) -> Claim:
    (claimed,) = await house.runtime.queue.claim(WORKER, "default", 1, hold_ms)
    await house.runtime.ledger.start([claimed])
    return claimed


def waits(parent: Claim, *children: str) -> Settlement:
    wait = Wait(children=tuple(house_id for house_id in children), every_child=True)  # type: ignore[misc]
    return decide(parent, Parked(wait), RetryPolicy(), 0.5)


def done(child: Claim) -> Settlement:
    return decide(child, Succeeded(b"1"), RetryPolicy(), 0.5)


async def family(house: House, hold_ms: int = 60_000) -> tuple[Task, Claim, Claim]:
    """A parent that runs, and a child that it has called and that runs."""
    parent = await house.submit("double", 1)
    parents = await claim(house)
    child_id = house.runtime.clock.task_id()
    origin = Origin(DEFAULT_TENANT, parent_id=parent.id, child_id=child_id)
    await house.intake.submit(TaskRequest(type="double", payload=2), origin)
    return parent, parents, await claim(house, hold_ms)


async def is_queued(house: House, task: Task) -> bool:
    read = await house.runtime.ledger.read(DEFAULT_TENANT, task.id)
    assert read is not None
    return read.status is State.QUEUED and await house.runtime.queue.depth("default") == 1


async def test_the_end_of_a_child_that_comes_by_the_outbox_wakes_its_parent(house: House) -> None:
    parent, parents, child = await family(house)
    assert await park(house.runtime, WORKER, waits(parents, child.entry.id))
    ending = done(child)
    assert await house.runtime.queue.settle(WORKER, [ending], (), [outbox_records.settled(ending)]) == [True]
    assert not await is_queued(house, parent)
    await Relay(house.runtime).turn()
    assert await is_queued(house, parent)


async def test_the_end_of_a_child_whose_worker_died_behind_its_commit_wakes_its_parent(house: House) -> None:
    parent, parents, child = await family(house, hold_ms=1)
    assert await park(house.runtime, WORKER, waits(parents, child.entry.id))
    assert await house.runtime.ledger.settle([done(child)]) == [True]

    async def taken_back() -> bool:
        return await take_back(house.runtime, WorkerId("sweeper")) == 1

    await until(taken_back, 5, every=0.01)
    assert await is_queued(house, parent)


async def test_a_wake_between_the_parking_and_its_word_to_the_queue_is_not_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, parents, child = await family(house)
    queue, ending = house.runtime.queue, done(child)
    to_queue = queue.settle

    async def overtaken(*given: Any) -> list[bool]:
        await house.runtime.ledger.settle([ending])
        await wake(house.runtime, [parent.id])  # the queue holds it still, and takes nothing in
        return await to_queue(*given)

    monkeypatch.setattr(queue, "settle", overtaken)
    assert await park(house.runtime, WORKER, waits(parents, child.entry.id))
    monkeypatch.undo()
    assert await is_queued(house, parent)
