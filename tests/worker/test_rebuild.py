"""Redis may be emptied at any moment: Postgres puts everything back, and nothing runs twice that was settled."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import redis.asyncio

from orchestrator.domain.ids import DEFAULT_TENANT, LOWEST_ID, TaskId, WorkerId, task_id
from orchestrator.domain.states import State
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.pause import pause, resume
from orchestrator.operations.read import get, runs
from orchestrator.operations.rebuild import mend_fresh, mend_page
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.submit import Receipt
from orchestrator.queue.port import EpochMissing
from orchestrator.runtime import Runtime
from orchestrator.testing import FakeClock
from orchestrator.worker.chores.chore import Tick
from orchestrator.worker.chores.reconcile import Reconciler
from tests.worker.conftest import House
from tests.worker.life_handlers import COUNTED


async def empty(house: House) -> None:
    async with redis.asyncio.Redis.from_url(house.redis_url) as client:
        await client.flushall()


async def submit_many(house: House, number: int, priorities: tuple[int, ...] = (5,)) -> list[str]:
    requests = [TaskRequest(type="count", priority=priorities[place % len(priorities)]) for place in range(number)]
    receipts = await house.intake.submit_many(requests, Origin(DEFAULT_TENANT))
    return [receipt.task.id for receipt in receipts if isinstance(receipt, Receipt)]


async def rebuild(house: House) -> int:
    """One full pass, as the reconciler makes it."""
    await open_epoch(house.runtime)
    epoch = await house.runtime.queue.epoch()
    assert epoch is not None
    after, total = LOWEST_ID, 0
    while after is not None:
        after, mended = await mend_page(house.runtime, after, epoch)
        total += mended
    return total


def ticks(runtime: Runtime) -> dict[str, Tick]:
    """A reconciler's chores, to be done one at a time."""
    return {chore.name: chore.tick for chore in Reconciler(runtime).chores()}


async def order(house: House) -> list[bytes]:
    """The queue's ids in their order."""
    async with redis.asyncio.Redis.from_url(house.redis_url) as client:
        return await client.zrange("aurea:queue", 0, -1)


async def test_an_emptied_queue_is_rebuilt_in_its_order(house: House) -> None:
    ids = await submit_many(house, 5000, priorities=(7, 0, 5))
    before = await order(house)
    await empty(house)
    assert await rebuild(house) == 5000
    assert await rebuild(house) == 0, "a second pass finds nothing to do"
    assert await order(house) == before
    assert len(before) == len(ids)


async def test_what_was_settled_is_not_run_again_and_what_runs_is_not_started_twice(house: House) -> None:
    ids = await submit_many(house, 200)
    lingering = await house.submit("linger")
    async with house.scheduler(), house.worker(concurrency=8):
        await house.running(lingering)
        await empty(house)
        more = await submit_many(house, 200)
        for task_id in (*ids, *more):
            await house.ended(await get(house.runtime, DEFAULT_TENANT, task_id))
        assert (await get(house.runtime, DEFAULT_TENANT, lingering.id)).status is State.RUNNING
        assert len(await runs(house.runtime, DEFAULT_TENANT, lingering.id)) == 1
    assert {COUNTED[task_id] for task_id in (*ids, *more)} == {1}


async def test_a_pause_outlives_an_emptied_redis(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands before an epoch does: nothing is claimed in between."""
    await pause(house.runtime, "default")
    await empty(house)
    opens = house.runtime.queue.open_epoch
    paused_before: list[bool] = []

    async def look_and_open(epoch: int) -> bool:
        paused_before.extend(queue.paused for queue in await house.runtime.queue.queues())
        return await opens(epoch)

    monkeypatch.setattr(house.runtime.queue, "open_epoch", look_and_open)
    assert await open_epoch(house.runtime) is not None
    assert paused_before == [True]
    await resume(house.runtime, "default")
    assert not any(queue.paused for queue in await house.runtime.queue.queues())


async def test_nothing_is_put_back_before_the_workers_have_asserted_their_leases(house: House) -> None:
    task = await house.submit("count")
    clock = FakeClock(task.created_at + timedelta(seconds=10))
    chores = ticks(replace(house.runtime, clock=clock))
    await chores["epoch"]()
    clock.advance(3)
    await chores["epoch"]()
    (claim,) = await house.runtime.queue.claim(WorkerId("worker-1"), "default", 1, 60_000)
    await empty(house)
    await chores["fresh"]()
    await chores["full_pass"]()
    for _ in range(2):
        await chores["epoch"]()
        await chores["fresh"]()
        await chores["full_pass"]()
    assert await house.runtime.queue.missing([task.id]) == [task.id]
    assert await house.runtime.queue.extend(WorkerId("worker-1"), [(task.id, claim.fence)], 60_000) == []
    other = await house.submit("count")
    await house.runtime.queue.drop([other.id])
    clock.advance(3)
    await chores["epoch"]()
    assert await house.runtime.queue.depth("default") == 1, "the rebuild put back the other one"
    assert await house.runtime.queue.leased() == [task.id]


async def test_fresh_tasks_that_were_looked_for_in_vain_are_looked_for_again(house: House) -> None:
    task = await house.submit("count")
    clock = FakeClock(task.created_at + timedelta(seconds=10))
    chores = ticks(replace(house.runtime, clock=clock))
    await house.runtime.queue.drop([task.id])
    await chores["fresh"]()
    assert await house.runtime.queue.depth("default") == 0, "there was no full pass yet"
    await chores["epoch"]()
    clock.advance(3)
    await chores["epoch"]()
    await house.runtime.queue.drop([task.id])
    await chores["fresh"]()
    assert await house.runtime.queue.depth("default") == 1


async def test_a_flush_in_the_middle_of_a_page_puts_nothing_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    task = await house.submit("count")
    epoch = await house.runtime.queue.epoch()
    assert epoch is not None
    missing = house.runtime.queue.missing

    async def flushed_before_it_answers(ids: Sequence[TaskId]) -> list[TaskId]:
        await empty(house)
        return await missing(ids)

    monkeypatch.setattr(house.runtime.queue, "missing", flushed_before_it_answers)
    with pytest.raises(EpochMissing):
        await mend_page(house.runtime, LOWEST_ID, epoch)
    assert await missing([task.id]) == [task.id]


async def test_a_new_leader_looks_for_fresh_tasks_of_the_last_minute_only(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    chores = ticks(replace(house.runtime, clock=clock))
    clock.advance(86_400)
    await chores["epoch"]()
    clock.advance(3)
    await chores["epoch"]()
    asked: list[TaskId] = []

    async def fresh_ids(first: TaskId, until: TaskId) -> list[TaskId]:
        asked.append(first)
        return []

    monkeypatch.setattr(house.runtime.ledger, "fresh_ids", fresh_ids)
    await chores["fresh"]()
    assert asked == [task_id(int((clock.now() - timedelta(seconds=60)).timestamp() * 1000), 0)]


async def test_a_task_whose_submit_died_before_redis_is_found(house: House) -> None:
    task = await house.submit("count")
    await empty(house)
    epoch = await open_epoch(house.runtime)
    assert epoch is not None
    since = task.created_at - timedelta(seconds=1)
    assert await mend_fresh(house.runtime, since, epoch) == (since, 0), "its submit may still be under way"
    later = replace(house.runtime, clock=FakeClock(task.created_at + timedelta(seconds=10)))
    until, found = await mend_fresh(later, since, epoch)
    assert (found, until > task.created_at) == (1, True)
    assert await house.runtime.queue.depth("default") == 1
