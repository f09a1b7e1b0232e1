"""Who is there, who leads, and what was counted."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from redis.asyncio import Redis

from orchestrator.domain.ids import WorkerId
from orchestrator.queue.counters import Counters
from orchestrator.queue.keys import Keys
from orchestrator.queue.presence import Presence, WorkerCard
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import HOLD_MS, ONE, STEP_US, ending, entry

CARD = WorkerCard(
    id=WorkerId("worker-1"),
    host="höst",
    pid=42,
    version="0.1.0",
    queues=("default", "mails"),
    concurrency=8,
    started_at=datetime(2026, 11, 20, 9, 30, 0, 5, UTC),
    running=(entry().id,),
)


async def test_a_worker_is_there_until_it_leaves(redis_clients: tuple[Redis, Redis]) -> None:
    presence = Presence(redis_clients[0], Keys())
    other = replace(CARD, id=WorkerId("worker-0"), queues=(), running=())
    await presence.announce(CARD, 60_000)
    await presence.announce(other, 60_000)
    assert await presence.workers() == [other, CARD]
    await presence.leave(CARD.id)
    assert await presence.workers() == [other]


async def test_a_worker_that_says_nothing_more_is_gone_and_forgotten(redis_clients: tuple[Redis, Redis]) -> None:
    commands, keys = redis_clients[0], Keys()
    presence = Presence(commands, keys)
    await presence.announce(CARD, 1)
    await asyncio.sleep(0.005)
    assert await presence.workers() == []
    assert await commands.exists(keys.workers) == 0


async def test_one_leads_until_it_steps_down_or_its_time_is_up(redis_clients: tuple[Redis, Redis]) -> None:
    presence = Presence(redis_clients[0], Keys())
    assert await presence.lead("one", 60_000)
    assert not await presence.lead("two", 60_000)
    await presence.step_down("two")
    assert not await presence.lead("two", 60_000)
    assert await presence.lead("one", 60_000)
    await presence.step_down("one")
    assert await presence.lead("two", 1)
    await asyncio.sleep(0.005)
    assert await presence.lead("one", 60_000)


async def test_counts_add_up_and_ride_in_a_settlement(redis_clients: tuple[Redis, Redis]) -> None:
    counters, queue = Counters(redis_clients[0], Keys()), RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    await queue.enqueue([entry()])
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    await counters.add([("tasks_total", "resize|succeeded", 2), ("seconds", "resize|sum", 0.25)])
    await queue.settle(ONE, [ending(claim)], [("tasks_total", "resize|succeeded", 1), ("seconds", "resize|sum", 0.5)])
    await queue.settle(ONE, [], [("tasks_total", "é|failed", 1)])
    assert await counters.read("tasks_total") == {"resize|succeeded": 3, "é|failed": 1}
    assert await counters.read("seconds") == {"resize|sum": 0.75}
    assert await counters.read("nothing") == {}
