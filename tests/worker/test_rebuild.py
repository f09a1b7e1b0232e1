"""Redis may be emptied at any moment: Postgres puts everything back, and nothing runs twice that was settled."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import redis.asyncio

from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.states import State
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.pause import pause, resume
from orchestrator.operations.read import get, runs
from orchestrator.operations.rebuild import BEGINNING, mend_fresh, mend_page
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.submit import Receipt
from orchestrator.testing import FakeClock
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
    after, total = BEGINNING, 0
    while after is not None:
        after, mended = await mend_page(house.runtime, after)
        total += mended
    return total


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


async def test_a_pause_outlives_an_emptied_redis(house: House) -> None:
    await pause(house.runtime, "default")
    await empty(house)
    async with house.scheduler():
        async with asyncio.timeout(10):
            while not any(queue.paused for queue in await house.runtime.queue.queues()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await resume(house.runtime, "default")


async def test_a_task_whose_submit_died_before_redis_is_found(house: House) -> None:
    task = await house.submit("count")
    await empty(house)
    await open_epoch(house.runtime)
    since = task.created_at - timedelta(seconds=1)
    assert await mend_fresh(house.runtime, since) == (since, 0), "its submit may still be under way"
    later = replace(house.runtime, clock=FakeClock(task.created_at + timedelta(seconds=10)))
    until, found = await mend_fresh(later, since)
    assert (found, until > task.created_at) == (1, True)
    assert await house.runtime.queue.depth("default") == 1
