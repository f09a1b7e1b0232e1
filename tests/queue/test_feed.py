"""The live feed: nothing is missed without a Gap that says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis as PlainRedis
from redis.asyncio import Redis

from orchestrator.domain.events import Event, EventKind, Told
from orchestrator.domain.ids import Fence, TaskId, Tenant
from orchestrator.domain.states import State
from orchestrator.queue import subscriptions as hearing
from orchestrator.queue.connect import connect
from orchestrator.queue.feed import Feed
from orchestrator.queue.keys import Keys
from orchestrator.queue.redis import RedisQueue
from orchestrator.queue.subscriptions import BUFFERED_MESSAGES, Gap, Message, Subscriptions, Watch
from tests.queue.entries import HOLD_MS, ONE, STEP_US, ending, entry
from tests.queue.line import Line

AT = datetime(2026, 11, 20, 9, 30, 0, 123456, UTC)
FENCE = Fence(2**36 + 7)


def told(task_id: TaskId, number: int, kind: EventKind = EventKind.LOG, data: bytes = b'{"text":"hi"}') -> Told:
    return Told(task_id, Tenant("acme"), FENCE, number, kind, data, AT)


async def heard(watch: Watch) -> Any:
    async with asyncio.timeout(5):
        message = await watch.next()
    return message.event if isinstance(message, Message) else message


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def feed(redis_clients: tuple[Redis, Redis], keys: Keys) -> Feed:
    return Feed(redis_clients[0], keys)


@pytest.fixture
async def subscriptions(redis_clients: tuple[Redis, Redis], keys: Keys) -> AsyncIterator[Subscriptions]:
    running = Subscriptions(redis_clients[0], keys)
    running.start()
    yield running
    await running.stop()


@pytest.fixture
async def queue(redis_clients: tuple[Redis, Redis], keys: Keys) -> RedisQueue:
    queue = RedisQueue(*redis_clients, keys, STEP_US)
    await queue.open_epoch(1)
    return queue


async def test_what_is_told_is_heard_by_every_listener_of_its_task(feed: Feed, subscriptions: Subscriptions) -> None:
    task, other = entry().id, entry().id
    async with subscriptions.watch(task) as one, subscriptions.watch(task) as two, subscriptions.watch(other) as else_:
        await feed.tell([told(task, 1), told(other, 1), told(task, 2, EventKind.TOKEN, b'"a"')])
        for watch in (one, two):
            assert await heard(watch) == Event(task, FENCE, 1, EventKind.LOG, {"text": "hi"}, AT)
            assert await heard(watch) == Event(task, FENCE, 2, EventKind.TOKEN, "a", AT)
        assert (await heard(else_)).task_id == other


async def test_claims_settlements_and_operations_tell_their_statuses(
    feed: Feed, queue: RedisQueue, subscriptions: Subscriptions
) -> None:
    task = entry(attempt=1)
    await queue.enqueue([task])
    async with subscriptions.watch(task.id) as watch:
        (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
        await queue.settle(ONE, [ending(claim, State.RETRYING)])
        await feed.publish_status(task.id, Fence(claim.fence + 1), 999_997, {"status": "cancelled", "attempt": 2}, None)
        running, retrying, cancelled = [await heard(watch) for _ in range(3)]
    assert (running.fence, running.number, running.data) == (claim.fence, 0, {"status": "running", "attempt": 2})
    assert (retrying.number, retrying.data) == (999_997, {"status": "retrying", "attempt": 2})
    assert cancelled.data["status"] == "cancelled"
    assert int(running.at.timestamp() * 1e6) == claim.claimed_at_us
    assert running.at < retrying.at < cancelled.at


async def test_a_task_that_expired_is_not_told_to_run(queue: RedisQueue, subscriptions: Subscriptions) -> None:
    task = entry(expires_at_us=1)
    await queue.enqueue([task])
    async with subscriptions.watch(task.id) as watch:
        (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
        await queue.settle(ONE, [ending(claim, State.EXPIRED)])
        assert (await heard(watch)).data == {"status": "expired", "attempt": 1}


async def test_a_lost_connection_is_a_gap_and_then_all_goes_on(
    feed: Feed, subscriptions: Subscriptions, redis_admin: PlainRedis
) -> None:
    task = entry().id
    async with subscriptions.watch(task) as watch:
        await feed.tell([told(task, 1)])
        assert (await heard(watch)).number == 1
        assert redis_admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1
        assert await heard(watch) == Gap()
        await feed.tell([told(task, 2)])
        assert (await heard(watch)).number == 2


async def test_a_listener_that_is_too_slow_hears_a_gap_and_what_comes_after(
    feed: Feed, subscriptions: Subscriptions
) -> None:
    task = entry().id
    async with subscriptions.watch(task) as watch, subscriptions.watch(task) as quick:
        await feed.tell([told(task, number) for number in range(1, BUFFERED_MESSAGES + 3)])
        while (last := await heard(quick)) == Gap() or last.number < BUFFERED_MESSAGES + 2:
            pass
        assert await heard(watch) == Gap()
        assert (await heard(watch)).number == BUFFERED_MESSAGES + 2


async def test_a_watch_that_is_left_is_unsubscribed_and_may_be_opened_again(
    feed: Feed, subscriptions: Subscriptions, redis_admin: PlainRedis, keys: Keys
) -> None:
    task = entry().id
    for _ in range(20):  # an answer to an earlier SUBSCRIBE must not confirm a later one
        async with subscriptions.watch(task) as watch:
            await feed.tell([told(task, 1)])
            assert (await heard(watch)).number == 1
    async with subscriptions.watch(entry().id):  # sent behind the UNSUBSCRIBE
        assert redis_admin.pubsub_numsub(keys.channel(task)) == [(keys.channel(task).encode(), 0)]


async def test_a_watch_opened_while_redis_is_away_hears_a_gap_when_it_is_back(
    redis_clients: tuple[Redis, Redis], keys: Keys, feed: Feed
) -> None:
    subscriptions = Subscriptions(redis_clients[0], keys)
    task = entry().id
    async with subscriptions.watch(task) as watch:
        subscriptions.start()
        assert await heard(watch) == Gap()
        await feed.tell([told(task, 1)])
        assert (await heard(watch)).number == 1
    await subscriptions.stop()


async def test_control_tells_of_dropped_tasks_and_new_queues_and_missed_news(
    queue: RedisQueue, subscriptions: Subscriptions, redis_admin: PlainRedis
) -> None:
    news: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def hear(number: int) -> list[dict[str, object]]:
        async with asyncio.timeout(5):
            return [await news.get() for _ in range(number)]

    subscriptions.on_control(news.put_nowait)
    assert await hear(1) == [{"missed": True}]
    running, waiting = entry(queue="mails"), entry(queue="mails")
    await queue.enqueue([running, waiting])
    await queue.claim(ONE, "mails", 1, HOLD_MS)
    await queue.drop([running.id, waiting.id])
    await queue.enqueue([entry(queue="mails")])
    await queue.pause("mails")
    await queue.resume("mails")
    assert await hear(3) == [{"queue": "mails"}, {"drop": [running.id]}, {"queue": "mails"}]
    redis_admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert await hear(1) == [{"missed": True}]
    assert news.empty()


async def test_what_is_not_ours_on_a_channel_harms_nobody(
    feed: Feed, subscriptions: Subscriptions, redis_admin: PlainRedis, keys: Keys
) -> None:
    task = entry().id
    ours = {"fence": "1", "number": 1, "kind": "log", "data": 1, "at": 1}
    foreign = (
        {"fence": "x"}, {**ours, "at": 10**30}, {**ours, "at": 1e300}, {**ours, "at": None}, {**ours, "number": 10**6},
        {**ours, "number": -1}, {**ours, "number": "1"}, {**ours, "number": [1]}, {**ours, "fence": str(2**63)},
        {**ours, "fence": "-1"}, {**ours, "fence": {}}, {**ours, "kind": {}}, {**ours, "kind": "noise"},
    )  # fmt: skip
    async with subscriptions.watch(task) as watch:
        for noise in (b"{", b"[]", b"1", b"\xff", *(json.dumps(body).encode() for body in foreign)):
            redis_admin.publish(keys.channel(task), noise)
            redis_admin.publish(keys.control, noise)
        await feed.tell([told(task, 1)])
        assert (await heard(watch)).number == 1


async def test_what_control_tells_is_what_it_seems(
    subscriptions: Subscriptions, redis_admin: PlainRedis, keys: Keys
) -> None:
    news: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    subscriptions.on_control(news.put_nowait)
    async with asyncio.timeout(5):
        assert await news.get() == {"missed": True}
        for noise in (b'{"drop":[{}]}', b'{"drop":"id"}', b'{"queue":7}', b'{"missed":true}'):
            redis_admin.publish(keys.control, noise)
        redis_admin.publish(keys.control, b'{"drop":[[],"a",null,"b"],"queue":"mails"}')
        assert await news.get() == {"drop": []}
        assert await news.get() == {"drop": ["a", "b"], "queue": "mails"}


async def test_a_callback_that_breaks_silences_nobody(
    feed: Feed, subscriptions: Subscriptions, redis_admin: PlainRedis, keys: Keys
) -> None:
    news: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    def break_down(_: dict[str, object]) -> None:
        raise TypeError("unhashable type: 'dict'")

    subscriptions.on_control(break_down)
    subscriptions.on_control(news.put_nowait)
    task = entry().id
    async with asyncio.timeout(5), subscriptions.watch(task) as watch:
        assert await news.get() == {"missed": True}
        redis_admin.publish(keys.control, b'{"queue":"mails"}')
        assert await news.get() == {"queue": "mails"}
        await feed.tell([told(task, 1)])
        assert (await heard(watch)).number == 1


async def test_whatever_breaks_the_listening_it_goes_on_behind_a_gap(
    feed: Feed, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_: bytes) -> None:
        monkeypatch.undo()
        raise RuntimeError("nobody thought of this")

    task = entry().id
    async with subscriptions.watch(task) as watch:
        monkeypatch.setattr(hearing, "_parse", break_down)
        await feed.tell([told(task, 1)])
        assert await heard(watch) == Gap()
        await feed.tell([told(task, 2)])
        assert (await heard(watch)).number == 2


async def test_a_connection_that_died_silently_is_a_gap_and_then_all_goes_on(
    redis_url: str, feed: Feed, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "_SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(hearing, "_PONG_SECONDS", 0.1)
    line = Line(redis_url)
    clients = connect(await line.open())
    subscriptions = Subscriptions(clients[0], keys)
    subscriptions.start()
    task = entry().id
    async with subscriptions.watch(task) as watch:
        line.silence()
        await feed.tell([told(task, 1)])
        assert await heard(watch) == Gap()
        await feed.tell([told(task, 2)])
        assert (await heard(watch)).number == 2
    await subscriptions.stop()
    for client in clients:
        await client.aclose()
    await line.close()


async def test_a_quiet_connection_is_kept(
    redis_clients: tuple[Redis, Redis], feed: Feed, keys: Keys, redis_admin: PlainRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "_SILENCE_SECONDS", 0.02)
    subscriptions = Subscriptions(redis_clients[0], keys)
    task = entry().id
    async with subscriptions.watch(task) as watch:
        subscriptions.start()
        assert await heard(watch) == Gap()
        pinged = commandstat(redis_admin, "ping") + 3
        async with asyncio.timeout(5):
            while commandstat(redis_admin, "ping") < pinged:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.01)
        await feed.tell([told(task, 1)])
        assert (await heard(watch)).number == 1, "and no Gap"
    await subscriptions.stop()


def commandstat(redis_admin: PlainRedis, command: str) -> int:
    return redis_admin.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


async def test_the_stream_keeps_what_was_told_and_a_repeat_is_harmless(
    feed: Feed, redis_clients: tuple[Redis, Redis], keys: Keys
) -> None:
    task = entry().id
    await feed.tell([told(task, 1), told(task, 2)])
    await feed.tell([told(task, 2), told(task, 3)])
    kept = await redis_clients[0].xrange(keys.log(task))
    assert [place for place, _ in kept] == [b"%d-%d" % (FENCE, number) for number in (1, 2, 3)]
    assert kept[0][1][b"data"] == b'{"text":"hi"}'
    assert 0 < await redis_clients[0].ttl(keys.log(task)) <= 86_400


async def test_progress_is_noted_on_the_task_only_by_the_attempt_that_holds_it(feed: Feed, queue: RedisQueue) -> None:
    task = entry()
    await queue.enqueue([task])
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    for fence, data in ((claim.fence, b'{"fraction":0.5}'), (claim.fence - 1, b'{"fraction":0.9}')):
        await feed.tell([Told(task.id, task.tenant, Fence(fence), 1, EventKind.PROGRESS, data, AT)])
    assert (await queue.live([task.id]))[task.id].progress == b'{"fraction":0.5}'
    await queue.settle(ONE, [ending(claim)])
    await feed.tell([Told(task.id, task.tenant, claim.fence, 2, EventKind.PROGRESS, b"{}", AT)])
    assert await queue.missing([task.id]) == [task.id]
