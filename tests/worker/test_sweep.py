"""What dead and paused processes leave behind is found, and nothing that goes on is disturbed."""

import asyncio
import copy
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from redis.asyncio import Redis

from orchestrator.domain.ids import DEFAULT_TENANT, TaskId, WorkerId
from orchestrator.domain.outcome import Failed, Outcome, Released, Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Settlement, Task, TaskError
from orchestrator.operations import sweep
from orchestrator.operations.cancel import cancel
from orchestrator.operations.fences import fresh_fence, open_epoch
from orchestrator.operations.sweep import drop_ended, expire, take_back
from orchestrator.worker.chores import order, strays
from orchestrator.worker.chores.strays import Strays
from tests.worker.conftest import House
from tests.worker.life_handlers import STOPPED

GONE, SWEEPER = WorkerId("gone"), WorkerId("sweeper")
HOLD_MS = 60_000
IN_AN_HOUR = Failed(TaskError("Boom", "it broke", retryable=True, fingerprint="f-1"), retry_after_seconds=3600)


@pytest.fixture
async def commands(house: House) -> AsyncIterator[Redis]:
    """A plain client, beside the system's own."""
    async with Redis.from_url(house.redis_url) as client:
        yield client


async def claim(house: House, worker: WorkerId = GONE) -> Claim:
    (claimed,) = await house.runtime.queue.claim(worker, "default", 1, HOLD_MS)
    return claimed


async def run_out(commands: Redis, task_id: TaskId) -> None:
    """Put a lease's end into the past."""
    await commands.zadd("aurea:leases", {task_id: 1})
    await commands.delete(f"aurea:lock:{task_id}")


async def test_more_expired_leases_than_one_act_takes_are_taken_back_without_a_pause(
    house: House, commands: Redis
) -> None:
    tasks = await asyncio.gather(*(house.submit("echo") for _ in range(sweep.BATCH + 5)))
    while claims := await house.runtime.queue.claim(GONE, "default", len(tasks), HOLD_MS):
        await commands.zadd("aurea:leases", {claim.entry.id: 1 for claim in claims})
        await commands.delete(*(f"aurea:lock:{claim.entry.id}" for claim in claims))
    (chore,) = [chore for chore in order.chores(house.runtime, SWEEPER) if chore.name == "take_back"]
    assert [await chore.tick(), await chore.tick()] == [True, False]
    assert await commands.zcard("aurea:leases") == 0


async def read(house: House, task: Task) -> Task:
    found = await house.runtime.ledger.read(DEFAULT_TENANT, task.id)
    assert found is not None
    return found


async def commit(house: House, claimed: Claim, outcome: Outcome) -> None:
    """Write an ending to Postgres and die before Redis is told."""
    ending = decide(claimed, outcome, RetryPolicy(), chance=0.5)
    assert await house.runtime.ledger.settle([ending]) == [True]


async def waiting(house: House) -> list[TaskId]:
    return await house.runtime.queue.pending("default", 0, 100)


async def test_a_sweeper_that_was_paused_leaves_the_task_to_whoever_runs_it_now(house: House, commands: Redis) -> None:
    task = await house.submit("linger")
    await claim(house)
    await run_out(commands, task.id)
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def settle(endings: list[Settlement]) -> list[bool]:
        paused.set()
        await go_on.wait()
        return await house.runtime.ledger.settle(endings)

    slow = copy.copy(house.runtime.ledger)
    slow.settle = settle
    first = asyncio.create_task(take_back(replace(house.runtime, ledger=slow), WorkerId("sweeper-1")))
    await paused.wait()
    await run_out(commands, task.id)
    assert await take_back(house.runtime, WorkerId("sweeper-2")) == 1
    async with house.worker():
        await house.running(task)
        go_on.set()
        assert await first == 1
        (live,) = (await house.runtime.queue.live([task.id])).values()
        assert (live.status, live.worker) == (State.RUNNING, "worker-1")
        assert await house.runtime.queue.leased() == [task.id]
        assert not STOPPED[task.id].is_set()
        await cancel(house.runtime, DEFAULT_TENANT, task.id)
    assert (await read(house, task)).crashes == 1


@pytest.mark.parametrize("outcome", [IN_AN_HOUR, Released()], ids=["retrying", "released"])
async def test_a_worker_that_died_behind_its_commit_is_no_crash(
    house: House, commands: Redis, outcome: Outcome
) -> None:
    task = await house.submit("echo")
    await commit(house, await claim(house), outcome)
    before = await read(house, task)
    await run_out(commands, task.id)
    assert await take_back(house.runtime, SWEEPER) == 1
    assert await read(house, task) == before
    live = (await house.runtime.queue.live([task.id]))[task.id]
    assert (live.status, live.attempt, live.worker) == (before.status, before.attempt, None)
    assert await waiting(house) == ([task.id] if before.status is State.QUEUED else [])
    assert await house.runtime.queue.leased() == []


async def test_a_worker_that_died_behind_its_last_commit_leaves_nothing(house: House, commands: Redis) -> None:
    task = await house.submit("echo")
    await commit(house, await claim(house), Succeeded(b"1"))
    await run_out(commands, task.id)
    assert await take_back(house.runtime, SWEEPER) == 1
    assert await house.runtime.queue.missing([task.id]) == [task.id]
    assert (await read(house, task)).status is State.SUCCEEDED


async def test_a_sweeper_that_died_behind_its_commit_counts_one_crash(
    house: House, commands: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await house.submit("echo")
    await claim(house)
    await run_out(commands, task.id)

    async def die(*_: object) -> list[bool]:
        raise asyncio.CancelledError

    monkeypatch.setattr(house.runtime.queue, "settle", die)
    with pytest.raises(asyncio.CancelledError):
        await take_back(house.runtime, SWEEPER)
    monkeypatch.undo()
    await run_out(commands, task.id)
    assert await take_back(house.runtime, WorkerId("sweeper-2")) == 1
    found = await read(house, task)
    assert (found.status, found.attempt, found.crashes) == (State.QUEUED, 1, 1)
    assert await waiting(house) == [task.id]


async def test_an_attempt_too_short_to_be_on_record_is_a_crash_behind_another_that_ended(
    house: House, commands: Redis
) -> None:
    task = await house.submit("echo")
    first = await claim(house)
    await commit(house, first, Released())
    assert await house.runtime.queue.settle(GONE, [decide(first, Released(), RetryPolicy(), chance=0.5)]) == [True]
    await claim(house)
    await run_out(commands, task.id)
    assert await take_back(house.runtime, SWEEPER) == 1
    found = await read(house, task)
    assert (found.status, found.attempt, found.crashes) == (State.QUEUED, 1, 1)


async def test_a_lease_asserted_after_a_flush_whose_worker_died_is_queued_again_at_once(
    house: House, commands: Redis
) -> None:
    task = await house.submit("echo")
    claimed = await claim(house)
    await commands.flushall()
    await open_epoch(house.runtime)
    assert await house.runtime.queue.extend(GONE, [(task.id, claimed.fence)], HOLD_MS) == []
    await run_out(commands, task.id)
    assert await take_back(house.runtime, SWEEPER) == 1
    assert await waiting(house) == [task.id]
    assert await take_back(house.runtime, SWEEPER) == 0


async def test_a_task_that_started_in_time_does_not_expire_before_its_start_is_on_record(
    house: House, pool: asyncpg.Pool
) -> None:
    task = await house.submit("echo", expires_at=house.runtime.clock.now() + timedelta(hours=1))
    claimed = await claim(house)
    await pool.execute("update orchestrator_tasks set expires_at = now() - interval '1 s' where id = $1", task.id)
    assert await expire(house.runtime) == 0
    assert (await read(house, task)).status is State.QUEUED
    await house.runtime.queue.forget(GONE, [(task.id, claimed.fence)])
    assert await expire(house.runtime) == 1
    assert (await read(house, task)).status is State.EXPIRED


async def test_a_cancellation_that_redis_never_heard_of_stops_the_handler(house: House) -> None:
    task = await house.submit("linger")
    async with house.worker(), house.scheduler():
        await house.running(task)
        await house.runtime.ledger.cancel(DEFAULT_TENANT, task.id, await fresh_fence(house.runtime))
        await asyncio.wait_for(STOPPED[task.id].wait(), 15)
    assert await house.runtime.queue.leased() == []


async def test_what_has_ended_is_dropped_at_the_second_look_wherever_it_stands(house: House, commands: Redis) -> None:
    running, ended, live = [await house.submit("echo") for _ in range(3)]
    claimed = await claim(house)
    assert claimed.entry.id == running.id
    for task in (running, ended):
        await house.runtime.ledger.cancel(DEFAULT_TENANT, task.id, await fresh_fence(house.runtime))
    chore = Strays(house.runtime)
    await chore.look()
    assert await waiting(house) == [ended.id, live.id]
    await chore.look()
    assert await waiting(house) == [live.id]
    assert await house.runtime.queue.leased() == []
    assert await house.runtime.queue.extend(GONE, [(running.id, claimed.fence)], HOLD_MS) == [running.id]


async def test_an_ending_whose_word_is_on_its_way_to_redis_is_no_stray(house: House) -> None:
    task = await house.submit("echo")
    claimed = await claim(house)
    chore = Strays(house.runtime)
    await commit(house, claimed, Succeeded(b"1"))
    await chore.look()
    ending = decide(claimed, Succeeded(b"1"), RetryPolicy(), chance=0.5)
    assert await house.runtime.queue.settle(GONE, [ending]) == [True]
    await chore.look()
    assert await house.runtime.queue.missing([task.id]) == [task.id]


async def test_a_long_line_is_looked_through_in_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "_PAGE", 1)
    tasks = [await house.submit("echo") for _ in range(5)]
    await house.runtime.ledger.cancel(DEFAULT_TENANT, tasks[4].id, await fresh_fence(house.runtime))
    chore = Strays(house.runtime)
    for _ in range(4):  # pages of two, and the second look
        await chore.look()
    assert await waiting(house) == [task.id for task in tasks[:4]]


async def test_a_stray_that_is_replayed_meanwhile_is_queued(house: House) -> None:
    task = await house.submit("echo")
    await house.runtime.ledger.cancel(DEFAULT_TENANT, task.id, await fresh_fence(house.runtime))
    await house.runtime.ledger.reopen(DEFAULT_TENANT, [task.id], await fresh_fence(house.runtime), [None])
    assert await drop_ended(house.runtime, [task.id]) == 1
    assert await waiting(house) == [task.id]
