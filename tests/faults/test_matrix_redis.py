"""The fault matrix, Redis: killed, emptied, frozen, full, evicting: Postgres remembers, and the order comes back."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.exceptions import OutOfMemoryError

from orchestrator.queue.port import FENCE_COUNTER_BITS
from tests.faults.matrix import LEASE_SECONDS, ROOM_SECONDS, TAKEN_OVER_SECONDS, Rig, nap, open_rig, watched
from tests.faults.system import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("matrix-redis")]

RECONCILED_SECONDS = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path_factory.mktemp("redis")) as opened:
        yield opened


async def begun(rig: Rig, ids: list[str], number: int) -> None:
    """Return when so many of the tasks have been started."""

    async def enough() -> bool:
        return len(rig.noted(ids)) >= number

    await until(enough, TAKEN_OVER_SECONDS)


async def test_a_redis_that_is_killed_and_has_its_log_keeps_every_task_and_its_place(rig: Rig) -> None:
    """Row 14: kill -9 in mid-run, started again: nothing lost, one worker goes on in order."""
    chance = random.Random(14)
    priorities = [chance.choice((0, 2, 5, 9)) for _ in range(400)]
    ids = await rig.submit([nap("row14", 0.01, priority=priority) for priority in priorities])
    worker = await rig.worker("row14")
    await begun(rig, ids, 60)
    await rig.stores.kill("redis")
    await rig.stores.start("redis")
    await begun(rig, ids, len(rig.noted(ids)) + 20)
    await rig.ended(ids, 2.0 + TAKEN_OVER_SECONDS)
    await rig.sound(ids)
    retried = await rig.rows(
        "select distinct task_id::text from orchestrator_runs where task_id = any($1::uuid[]) and attempt > 1", ids
    )
    again = {row["task_id"] for row in retried}
    order = list(dict.fromkeys(task_id for task_id, *_ in rig.noted(ids) if task_id not in again))
    expected = [task_id for _, _, task_id in sorted(zip(priorities, range(len(ids)), ids, strict=True))]
    assert order == [task_id for task_id in expected if task_id not in again]
    await rig.end(worker)


async def test_a_redis_that_comes_back_empty_is_rebuilt_and_what_ran_runs_on(rig: Rig) -> None:
    """Row 15: kill -9 without any file: the queue is rebuilt from Postgres, leases are asserted, nothing runs twice."""
    worker = await rig.worker("row15", TASK_LEASE_SECONDS="5")
    long = await rig.submit([watched("row15", 4.0) for _ in range(3)])
    await rig.until_noted(long)
    ids = await rig.submit([nap("row15", 0.02) for _ in range(300)])
    await begun(rig, ids, 20)
    await rig.stores.kill("redis")
    await rig.stores.forget()
    await rig.stores.start("redis")
    await rig.ended([*long, *ids], RECONCILED_SECONDS + TAKEN_OVER_SECONDS)
    await rig.sound([*long, *ids])
    await rig.end(worker)


async def test_a_flush_in_mid_run_loses_no_task_no_key_and_no_fence(rig: Rig) -> None:
    """Row 16: FLUSHALL: all run, what was settled does not run again, keys stand in Postgres, fences only grow."""
    tasks = [nap("row16", 0.02, idempotency_key=f"row-16-{number}") for number in range(200)]
    ids = await rig.submit(tasks)
    worker = await rig.worker("row16")
    await begun(rig, ids, 40)
    async with rig.stores.redis() as redis:
        await redis.flushall()
    assert [(await rig.post(task)).json()["id"] for task in tasks[::20]] == ids[::20]
    await rig.ended(ids, RECONCILED_SECONDS + TAKEN_OVER_SECONDS)
    await rig.sound(ids)
    epochs = [int(fence) >> FENCE_COUNTER_BITS for _, _, fence, *_ in rig.noted(ids)]
    assert epochs == sorted(epochs)
    assert epochs[0] < epochs[-1]
    await rig.end(worker)


async def test_a_frozen_redis_holds_up_no_answer_and_work_goes_on_behind_it(rig: Rig) -> None:
    """Row 17: SIGSTOP for longer than every lease, lock and timeout: POST within 3 s all the while; then all run."""
    worker = await rig.worker("row17")
    running = await rig.submit([watched("row17", 1.0) for _ in range(3)])
    await rig.until_noted(running)
    await rig.stores.pause("redis")
    ids = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10.0):
            while True:
                answer = await rig.post(nap("row17"))
                assert answer.status_code == 201
                ids.append(answer.json()["id"])
                await asyncio.sleep(0.5)
    await rig.stores.resume("redis")
    await rig.ended([*running, *ids], 2.0 + TAKEN_OVER_SECONDS)
    assert len(ids) > 5
    await rig.sound([*running, *ids], again=3)
    await rig.end(worker)


async def test_a_redis_out_of_memory_lets_work_drain_and_loses_none(rig: Rig) -> None:
    """Row 19: writes are refused, what is queued is worked off, POST goes to Postgres, and runs once there is room."""
    ids = await rig.submit([nap("row19") for _ in range(20)])
    async with rig.stores.redis() as redis:
        await redis.config_set("maxmemory", "1mb")
        with pytest.raises(OutOfMemoryError):
            await redis.set("any", "thing")
        worker = await rig.worker("row19")
        await rig.ended(ids, LEASE_SECONDS + ROOM_SECONDS)
        kept = [await rig.post(nap("row19")) for _ in range(5)]
        assert {answer.status_code for answer in kept} == {201}
        await redis.config_set("maxmemory", "0")
    more = [answer.json()["id"] for answer in [*kept, await rig.post(nap("row19"))]]
    await rig.ended(more, RECONCILED_SECONDS)
    await rig.sound([*ids, *more])
    await rig.end(worker)


async def test_a_redis_that_evicts_is_refused_named_and_mended_from_postgres(rig: Rig) -> None:
    """Row 20: `allkeys-lru` on the running server: nothing starts on it, /health names it; what it threw away runs."""
    ids = await rig.submit([nap("row20") for _ in range(300)])
    async with rig.stores.redis() as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        refused = await rig.worker("row20", serving=False)
        assert await asyncio.to_thread(rig.system.processes.pop(refused).wait, 20) != 0
        assert "set `maxmemory-policy noeviction`" in rig.system.log(refused)
        answer = await rig.client.get("/health")
        health = answer.json()["dependencies"]["redis"]
        assert (answer.status_code, health["status"]) == (503, "unavailable")
        assert "noeviction" in health["detail"]
        await redis.config_set("maxmemory", str((await redis.info("memory"))["used_memory"] - 100_000))
        await redis.config_set("maxmemory", "0")
        await redis.config_set("maxmemory-policy", "noeviction")
        assert (await redis.info("stats"))["evicted_keys"] > 50
        # The order that tasks stand in is a key like any other; which ones go is for Redis to draw.
        await redis.delete("aurea:pending:row20")
    assert (await rig.client.get("/health")).status_code == 200
    worker = await rig.worker("row20", serving=False)
    await rig.ended(ids, RECONCILED_SECONDS + ROOM_SECONDS)
    await rig.sound(ids)
    await rig.end(worker)
