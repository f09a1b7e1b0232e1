"""What becomes of the queue when its server restarts, fills up, or forgets its scripts."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis as PlainRedis
from redis.asyncio import Redis

from orchestrator.domain.errors import Unavailable
from orchestrator.embedded.valkey import Valkey
from orchestrator.queue.connect import connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import FENCE_COUNTER_BITS, EpochMissing
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import HOLD_MS, ONE, STEP_US, TWO, ending, entry


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A server of this test's own, durable as the embedded one is."""
    valkey = Valkey(tmp_path / "valkey", tmp_path / "valkey.log", "password", {"appendfsync": "always"})
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
async def queue(server: Valkey) -> AsyncIterator[RedisQueue]:
    clients = connect(server.url)
    queue = RedisQueue(*clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    yield queue
    for client in clients:
        await client.aclose()


async def test_after_a_crash_of_the_server_nothing_is_claimed_until_a_new_epoch(
    server: Valkey, queue: RedisQueue
) -> None:
    await queue.enqueue([entry(), waiting := entry()])
    (running,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    server.kill()
    with pytest.raises(Unavailable):
        await queue.claim(TWO, "default", 1, HOLD_MS)
    server.start_again()
    assert await queue.epoch() is None
    with pytest.raises(EpochMissing):
        await queue.claim(TWO, "default", 1, HOLD_MS)
    assert await queue.extend(ONE, [(running.entry.id, running.fence)], HOLD_MS) == []
    assert await queue.open_epoch(2)
    assert await queue.extend(ONE, [(running.entry.id, running.fence)], HOLD_MS) == []
    (claim,) = await queue.claim(TWO, "default", 5, HOLD_MS)
    assert (claim.entry.id, claim.settled_epoch) == (waiting.id, False)
    assert claim.fence > running.fence
    assert await queue.settle(ONE, [ending(running)]) == [True]


async def test_a_full_memory_refuses_new_tasks_and_lets_old_ones_go(server: Valkey, queue: RedisQueue) -> None:
    await queue.enqueue([entry() for _ in range(4)])
    with PlainRedis.from_url(server.url) as admin:
        admin.config_set("maxmemory", "1mb")
        with pytest.raises(Unavailable):
            await queue.enqueue([entry()])
        claims = await queue.claim(ONE, "default", 3, HOLD_MS)
        assert await queue.extend(ONE, [(claim.entry.id, claim.fence) for claim in claims], HOLD_MS) == []
        assert await queue.settle(ONE, [ending(claim) for claim in claims], [("tasks_total", "a", 1)]) == [True] * 3
        admin.config_set("maxmemory", "0")
    assert len(await queue.claim(ONE, "default", 3, HOLD_MS)) == 1


async def test_a_server_that_may_not_be_asked_who_it_is_still_serves(server: Valkey, queue: RedisQueue) -> None:
    with PlainRedis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "guest", "on", ">pass", "~*", "&*", "+@all", "-info")
    guests = connect(server.url.replace("//:password@", "//guest:pass@"))
    guest = RedisQueue(*guests, Keys("guest"), STEP_US)
    assert await guest.open_epoch(1)
    await guest.enqueue([entry()])
    assert len(await guest.claim(ONE, "default", 1, HOLD_MS)) == 1
    for client in guests:
        await client.aclose()


async def test_scripts_the_server_forgot_are_sent_again(server: Valkey, queue: RedisQueue) -> None:
    await queue.enqueue([entry()])
    with PlainRedis.from_url(server.url) as admin:
        admin.script_flush()
    assert len(await queue.claim(ONE, "default", 1, HOLD_MS)) == 1


async def test_a_full_counter_asks_for_a_new_epoch(redis_clients: tuple[Redis, Redis]) -> None:
    queue = RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    await queue.enqueue([entry(), entry()])
    await redis_clients[0].hset(Keys().epoch, "counter", 2**FENCE_COUNTER_BITS - 3)
    last = await queue.mint()
    assert last == 2 * 2**FENCE_COUNTER_BITS - 2
    assert await queue.epoch() == 1
    with pytest.raises(EpochMissing):
        await queue.claim(ONE, "default", 2, HOLD_MS)
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    assert claim.fence == last + 1
    assert await queue.epoch() is None
    assert await queue.open_epoch(2)
    assert await queue.mint() > claim.fence


async def test_the_order_holds_when_the_clock_goes_back(redis_clients: tuple[Redis, Redis]) -> None:
    commands, queue = redis_clients[0], RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    seconds, _ = await commands.time()
    await commands.set(Keys().tick, (seconds + 600) * 1_000_000)  # it was ten minutes later a moment ago
    second, first = entry(), entry()  # were they to tie, their ids would turn them round
    await queue.enqueue([first])
    await queue.enqueue([second])
    claims = await queue.claim(ONE, "default", 5, HOLD_MS)
    assert [claim.entry.id for claim in claims] == [first.id, second.id]
    assert claims[0].waited_us == 0


@pytest.mark.parametrize("lost", [("aurea:pending",), ("aurea:queue", "aurea:pending"), ("aurea:scheduled",)])
async def test_tasks_whose_order_was_evicted_are_missing_and_put_back(
    redis_clients: tuple[Redis, Redis], lost: tuple[str, ...]
) -> None:
    queue = RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    waiting, delayed = entry(), entry(ready_at_us=time.time_ns() // 1000 + 60_000_000)
    await queue.enqueue([held := entry(), waiting, delayed])
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    assert claim.entry.id == held.id
    await redis_clients[0].delete(*lost)
    everything = [held, waiting, delayed]
    gone = delayed if "aurea:scheduled" in lost else waiting
    assert await queue.missing([task.id for task in everything]) == [gone.id]
    assert await queue.enqueue([replace(task, restored=True) for task in everything]) == [
        task is gone for task in everything
    ]
    assert await queue.missing([task.id for task in everything]) == []
