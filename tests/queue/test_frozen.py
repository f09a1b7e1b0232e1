"""A Redis that takes commands and answers none is away soon, and serves again at once."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio
from redis import Redis as PlainRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from orchestrator.domain.errors import Unavailable
from orchestrator.embedded.valkey import Valkey
from orchestrator.queue import connect as connecting
from orchestrator.queue.connect import ANSWER_SECONDS, answering, connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.presence import Presence
from orchestrator.queue.redis import RedisQueue
from tests.frozen import frozen
from tests.queue.entries import HOLD_MS, ONE, STEP_US, entry

Clients = tuple[Redis, Redis]


@pytest_asyncio.fixture
async def clients(own_valkey: Valkey) -> AsyncIterator[Clients]:
    opened = connect(own_valkey.url)
    yield opened
    for client in opened:
        await client.aclose()


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.3)


def over(clients: Clients) -> RedisQueue:
    return RedisQueue(*clients, Keys(), STEP_US)


async def refused_after(asking: Coroutine[Any, Any, Any]) -> float:
    """Seconds until it was Unavailable."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as raised:
        await asking
    assert raised.value.dependency == "redis"
    return time.monotonic() - began


async def test_any_number_of_commands_is_given_up_soon_and_the_next_are_served(
    own_valkey: Valkey, clients: Clients
) -> None:
    queue, presence = over(clients), Presence(clients[0], Keys())
    await queue.open_epoch(1)
    await asyncio.gather(*(queue.ping() for _ in range(100)))
    calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: queue.enqueue([entry() for _ in range(10)]),
        lambda: queue.claim(ONE, "default", 1, HOLD_MS),
        lambda: queue.live([entry().id]),
        queue.mint,
        queue.names,
        queue.ping,
        presence.workers,
        lambda: queue.pop(["default"], 0.01),
    ]
    with frozen(own_valkey):
        waits = await asyncio.gather(*(refused_after(call()) for call in calls * 10))
    assert max(waits) < ANSWER_SECONDS + 0.5
    began = time.monotonic()
    await asyncio.gather(*(queue.ping() for _ in range(100)))
    assert await queue.pop(["nothing"], 0.01) is None
    assert time.monotonic() - began < 0.5
    assert not clients[0].connection_pool._in_use_connections
    with PlainRedis.from_url(own_valkey.url) as admin:
        while admin.info("clients")["connected_clients"] > 32 + 1 + 1:  # noqa: ASYNC110 - it closes them one by one
            await asyncio.sleep(0.01)


async def test_opening_a_connection_is_given_up_soon(own_valkey: Valkey, clients: Clients) -> None:
    queue = over(clients)
    with frozen(own_valkey):
        began = time.monotonic()
        listening = asyncio.create_task(clients[0].connection_pool.get_connection())
        waits = await asyncio.gather(refused_after(queue.ping()), refused_after(queue.pop(["default"], 0.01)))
        with pytest.raises(RedisError):  # what the subscriptions try again after
            await listening
        assert time.monotonic() - began < ANSWER_SECONDS + 0.5
    assert max(waits) < ANSWER_SECONDS + 0.5
    await queue.ping()


@pytest.mark.usefixtures("_soon")
async def test_after_a_kill_of_a_frozen_server_the_next_one_is_used_at_once(
    own_valkey: Valkey, clients: Clients
) -> None:
    queue = over(clients)
    with frozen(own_valkey):
        await asyncio.gather(*(refused_after(queue.ping()) for _ in range(50)))
        own_valkey.kill()
    assert await refused_after(queue.ping()) < 1, "a refused connection fails fast"
    await asyncio.to_thread(own_valkey.start_again)
    await asyncio.gather(*(queue.ping() for _ in range(50)))


@pytest.mark.usefixtures("_soon")
async def test_an_address_where_nobody_answers_is_given_up_soon() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with socket.create_connection(deaf.getsockname()):  # the only one it has room for
            clients = connect(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
            for _ in range(3):
                assert await refused_after(over(clients).ping()) < 0.6
            for client in clients:
                await client.aclose()


@pytest.mark.usefixtures("_soon")
async def test_closing_does_not_wait_until_a_frozen_server_has_taken_what_was_sent(
    own_valkey: Valkey, clients: Clients
) -> None:
    commands, _ = clients
    await commands.ping()
    with frozen(own_valkey):
        sending = asyncio.create_task(commands.set("large", b"x" * 20_000_000))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await commands.aclose()
        assert time.monotonic() - began < 0.2
        with pytest.raises(Unavailable), answering():
            await sending


async def test_a_cancelled_command_ends_there_at_whatever_moment_it_is_cancelled(redis_clients: Clients) -> None:
    queue = over(redis_clients)
    await queue.ping()
    for ticks in range(200):
        asking = asyncio.create_task(queue.ping())
        for _ in range(ticks % 20):
            await asyncio.sleep(0)
        if asking.cancel():
            with pytest.raises(asyncio.CancelledError):
                await asking
    await queue.ping()
