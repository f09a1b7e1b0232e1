"""Keys while a store is away: known ones go on, revoked ones end in every process, and nobody guesses."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest_asyncio
import redis

from orchestrator.domain.errors import Unavailable
from orchestrator.ledger.migrate import migrate
from orchestrator.operations import api_keys
from tests.api.door import Door, open_door
from tests.api.live_server import serve
from tests.api.test_keys import bearer, make
from tests.conftest import Servers

PROMISED_SECONDS = 5.0
"""Within so long a revocation holds everywhere."""


@pytest_asyncio.fixture
async def doors(own_servers: Servers) -> AsyncIterator[tuple[Door, Door]]:
    """Two processes of one system."""
    await migrate(own_servers.postgres.url)
    async with AsyncExitStack() as opening:
        urls = own_servers.postgres.url, own_servers.valkey.url
        yield tuple([await opening.enter_async_context(open_door(*urls)) for _ in range(2)])  # type: ignore[misc]


async def status(door: Door, made: dict[str, Any]) -> int:
    return (await door.http.get("/keys", headers=bearer(made["key"]))).status_code


async def by_key(door: Door, made: dict[str, Any]) -> int:
    """What a route answers that needs no Postgres."""
    return (await door.http.get("/queues", headers=bearer(made["key"]))).status_code


async def until(answer: Callable[[], Awaitable[object]], wanted: object) -> float:
    """Return how long it took until that was the answer."""
    began = time.monotonic()
    while (got := await answer()) != wanted:
        assert time.monotonic() - began < 3 * PROMISED_SECONDS, got
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_a_key_revoked_without_postgres_ends_in_another_process_and_postgres_hears_of_it(
    own_servers: Servers, doors: tuple[Door, Door]
) -> None:
    here, there = doors
    used, spare, unseen = [await make(here, name=name) for name in ("used", "spare", "unseen")]
    for made in (used, spare):
        assert await by_key(there, made) == 200
    own_servers.postgres.stop()
    there.app.state.desk.identities._entries.clear()
    assert await by_key(there, used) == 200  # from the copy in Redis
    unknown = await there.http.get("/queues", headers=bearer(unseen["key"]))
    assert (unknown.status_code, unknown.json()["dependency"]) == (503, "postgres")
    revoked = await here.http.delete(f"/keys/{used['id']}")
    assert (revoked.status_code, revoked.json()["durability"]) == (200, "memory")
    assert revoked.json()["revoked_at"]
    assert await until(lambda: by_key(there, used), 401) < PROMISED_SECONDS
    assert await by_key(there, spare) == 200
    assert (await here.http.delete(f"/keys/{unseen['id']}")).status_code == 503  # whose it is, is not known
    own_servers.postgres.start_again()
    for door in doors:
        await until(lambda door=door: status(door, spare), 200)
    assert await by_key(there, used) == 401  # Postgres is back and has not heard of it
    assert await api_keys.bring_revocations(here.runtime) == 1
    assert await api_keys.bring_revocations(here.runtime) == 0
    with redis.Redis.from_url(own_servers.valkey.url) as admin:
        admin.flushall()
    for door in doors:
        door.app.state.desk.identities._entries.clear()
        await until(lambda door=door: by_key(door, spare), 200)  # it has found Postgres by then
        assert await by_key(door, used) == 401


async def test_a_key_revoked_without_redis_ends_in_another_process(
    own_servers: Servers, doors: tuple[Door, Door]
) -> None:
    here, there = doors
    made = await make(here)
    assert await status(there, made) == 200
    own_servers.valkey.stop()
    assert (await here.http.delete(f"/keys/{made['id']}")).status_code == 200
    assert await until(lambda: status(there, made), 401) < PROMISED_SECONDS
    own_servers.valkey.start_again()

    async def told() -> bool:
        with suppress(Unavailable):
            return made["id"] in await here.runtime.keyring.ended()
        return False

    await until(told, True)  # for the next time that Postgres is away


async def test_without_either_store_nobody_is_let_in_by_guess(own_servers: Servers, doors: tuple[Door, Door]) -> None:
    here, _ = doors
    made = await make(here)
    assert await by_key(here, made) == 200
    own_servers.postgres.stop()
    own_servers.valkey.stop()
    here.app.state.desk.identities._entries.clear()
    refused = await here.http.get("/queues", headers=bearer(made["key"]))
    assert (refused.status_code, refused.json()["dependency"]) == (503, "postgres and redis")
    assert refused.headers["Retry-After"]


async def test_a_stream_ends_with_the_key_it_was_opened_with(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as live:
        body = {"name": "stream", "scopes": ["tasks:read"]}
        revoked, expiring, good = [(await live.http.post("/keys", json=body)).json() for _ in range(3)]
        task = (await live.http.post("/tasks", json={"type": "greet"})).json()

        async def read(key: str, begun: asyncio.Event) -> str:
            async with live.http.stream("GET", task["links"]["stream"], headers=bearer(key)) as answer:
                text = ""
                async for line in answer.aiter_lines():
                    text += f"{line}\n"
                    begun.set()
                return text

        begun = [asyncio.Event() for _ in range(3)]
        keys = (revoked, expiring, good)
        reading = [asyncio.create_task(read(made["key"], each)) for made, each in zip(keys, begun, strict=True)]
        for each in begun:
            await each.wait()
        await live.http.delete(f"/keys/{revoked['id']}")
        await live.runtime.keyring.end(expiring["id"], live.runtime.clock.now())  # its overlap is over
        async with asyncio.timeout(PROMISED_SECONDS):
            for text in await asyncio.gather(*reading[:2]):
                assert "event: status" in text
                assert "event: end" not in text
        assert not reading[2].done()
        reading[2].cancel()
        refused = await live.http.get(task["links"]["stream"], headers=bearer(revoked["key"]))
        assert refused.status_code == 401
