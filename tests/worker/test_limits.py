"""Limits of tenants on a running system: never more at once than allowed, all of it done, and nobody else held up."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
import redis.asyncio

from orchestrator.domain.ids import DEFAULT_TENANT, TaskId, Tenant, WorkerId
from orchestrator.domain.profile import Bounds, Profile
from orchestrator.operations.ceiling import recount
from orchestrator.operations.fences import fresh_fence, open_epoch
from orchestrator.operations.profile import set_profile
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.submit import Receipt
from orchestrator.operations.why import why
from orchestrator.worker.chores.strays import Strays
from tests.worker import limit_handlers
from tests.worker.conftest import House
from tests.worker.limit_handlers import AT_ONCE, FINISHED, MOST

ACME, OTHER = Tenant("acme"), Tenant("other")


@pytest.fixture(autouse=True)
def _nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_handlers, "ENDED", asyncio.Event())  # of this test's loop
    for count in (AT_ONCE, MOST, FINISHED):
        count.clear()


async def ceil(house: House, tenant: Tenant, running: int | None, **types: int) -> None:
    bounds = {name: Bounds(running=most) for name, most in types.items()}
    await set_profile(house.runtime, Profile(tenant, Bounds(running=running), types=bounds), None)
    await recount(house.runtime, asserted=True)


async def submit(house: House, count: int, tenant: Tenant = ACME) -> list[TaskId]:
    requests = [TaskRequest(type="crowd", payload=tenant) for _ in range(count)]
    receipts = await house.intake.submit_many(requests, Origin(tenant))
    return [receipt.task.id for receipt in receipts if isinstance(receipt, Receipt)]


async def finished(tenant: Tenant, count: int) -> None:
    async with asyncio.timeout(40):
        while FINISHED[tenant] < count:
            limit_handlers.ENDED.clear()
            await limit_handlers.ENDED.wait()


async def states(house: House, ids: list[TaskId], tenant: Tenant = ACME) -> Counter[str]:
    rows = [await house.runtime.ledger.read(tenant, task) for task in ids]
    return Counter(row.status.value for row in rows if row is not None)


async def held(house: House, task: TaskId) -> None:
    for _ in range(1000):
        if (await house.runtime.queue.standing(task)).held_by is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it was never held")


async def test_never_more_run_at_once_than_allowed_and_all_finish(house: House) -> None:
    await ceil(house, ACME, 3)
    ids, others = await submit(house, 60), await submit(house, 20, OTHER)
    async with AsyncExitStack() as stack:
        for number in range(4):
            await stack.enter_async_context(house.worker(concurrency=8, name=f"worker-{number}"))
        await finished(ACME, 60)
        await finished(OTHER, 20)
    assert MOST[ACME] == 3
    assert MOST[OTHER] > 3
    assert await states(house, ids) == {"succeeded": 60}
    assert await states(house, others, OTHER) == {"succeeded": 20}


async def test_a_tenant_with_a_long_line_keeps_no_other_waiting(house: House) -> None:
    await ceil(house, ACME, 1)
    await submit(house, 300)
    await submit(house, 10, OTHER)
    async with house.worker(concurrency=4):
        await finished(OTHER, 10)
        assert FINISHED[ACME] < 100
        assert MOST[ACME] == 1


async def test_why_names_who_runs_its_number(house: House) -> None:
    await ceil(house, DEFAULT_TENANT, 1, linger=1)
    first, second, third = [await house.submit(kind) for kind in ("linger", "echo", "linger")]
    async with house.worker(grace_seconds=0.1):
        await house.running(first)
        await held(house, third.id)
        reasons = [await why(house.runtime, DEFAULT_TENANT, task.id) for task in (second, third)]
    assert [reason.cause for reason in reasons] == ["held", "held"]
    assert reasons[0].detail.startswith("the tenant runs its 1 at once")
    assert reasons[1].detail.startswith("the tenant's type 'linger' runs its 1 at once")


async def test_why_says_what_helps_where_none_may_run(house: House) -> None:
    await ceil(house, DEFAULT_TENANT, 0)
    task = await house.submit("echo")
    async with house.worker(grace_seconds=0.1):
        await held(house, task.id)
        reason = await why(house.runtime, DEFAULT_TENANT, task.id)
    assert reason.cause == "held"
    assert "`running` is 0" in reason.detail


async def test_a_flushed_redis_forgets_no_ceiling(house: House) -> None:
    await ceil(house, ACME, 2)
    ids = await submit(house, 30)
    async with house.worker(concurrency=8), house.scheduler():
        await finished(ACME, 5)
        async with redis.asyncio.Redis.from_url(house.redis_url) as client:
            await client.flushall()
        await open_epoch(house.runtime)
        await finished(ACME, 30)
    assert MOST[ACME] == 2
    assert await states(house, ids) == {"succeeded": 30}


async def test_an_emptied_redis_leases_nothing_limited_before_it_was_counted(house: House) -> None:
    await ceil(house, ACME, 1)
    async with redis.asyncio.Redis.from_url(house.redis_url) as client:
        await client.flushall()
    await open_epoch(house.runtime)
    await submit(house, 2)
    (other,) = await submit(house, 1, OTHER)
    claims = await house.runtime.queue.claim(WorkerId("worker-1"), "default", 10, 60_000)
    assert [claim.entry.id for claim in claims] == [other]
    await recount(house.runtime, asserted=True)
    claims = await house.runtime.queue.claim(WorkerId("worker-1"), "default", 10, 60_000)
    assert [claim.entry.tenant for claim in claims] == [ACME]


async def test_a_held_task_that_has_ended_is_dropped_before_it_comes(house: House) -> None:
    await ceil(house, ACME, 0)
    (ended,) = await submit(house, 1)
    assert await house.runtime.queue.claim(WorkerId("worker-1"), "default", 1, 60_000) == []
    await house.runtime.ledger.cancel(ACME, ended, await fresh_fence(house.runtime))
    chore = Strays(house.runtime)
    for _ in range(2):
        await chore.look()
    assert await house.runtime.queue.first_held(9) == []
    assert await house.runtime.queue.missing([ended]) == [ended]


async def test_children_come_though_their_tenant_is_full(house: House) -> None:
    full = Profile(DEFAULT_TENANT, Bounds(tasks_per_day=1, running=1, queued=1))
    await set_profile(house.runtime, full, None)
    await recount(house.runtime, asserted=True)
    task = await house.submit("family")
    async with house.worker(), house.scheduler():
        ended = await house.ended(task)
    assert ended.status.value == "succeeded", ended.error
