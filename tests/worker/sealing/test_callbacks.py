"""An encrypted tenant's task tells its end: whoever is told reads it, no store does."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest
from pytest_httpserver import HTTPServer

from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.operations import announce as announcing
from orchestrator.operations import subscription as subscribing
from orchestrator.operations.announce import Passed, announce
from tests.worker.conftest import House
from tests.worker.sealing.house import CANARY, K1, K2, SECRET, keys, sealing_house, tables
from tests.worker.test_callbacks import Receiver, deliveries, told


@pytest.fixture
async def house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    async with sealing_house(database_url, redis_url, **settings(K1)) as opened:
        yield opened


def settings(keys: str) -> dict[str, Any]:
    hosts = {"aurea_signing_secrets": ("m" * 40,), "aurea_allow_private_hosts": ("localhost",)}
    return {"aurea_encryption_keys": keys, **hosts}


@pytest.mark.parametrize("fails", [0, 1])
async def test_what_is_told_of_it_is_plain_and_what_is_stored_is_not(
    house: House, database_url: str, httpserver: HTTPServer, fails: int
) -> None:
    receiver = Receiver(httpserver)
    await subscribing.create(house.runtime, DEFAULT_TENANT, receiver.url, types=["confide"])
    async with house.worker():
        await house.ended(await house.submit("confide", {**SECRET, "fails": fails}, max_retries=0))
        await told(house)
    [(_, body)] = receiver.requests
    data = orjson.loads(body)["data"]
    assert CANARY in str(data["error"] if fails else data["result"])
    database = await asyncpg.connect(database_url)
    for place in (await tables(database), await keys(house.redis_url)):
        assert CANARY not in place
    await database.close()


async def test_what_there_is_no_key_for_waits_until_there_is_and_holds_up_nothing(
    database_url: str, redis_url: str, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "BATCH", 2)
    receiver, passed = Receiver(httpserver), Passed()
    async with sealing_house(database_url, redis_url, **settings(K1)) as old, old.worker():
        for kind in ("parrot", "blurt", "parrot"):
            await old.ended(await old.submit(kind, SECRET, callback_url=receiver.url))
    async with sealing_house(database_url, redis_url, **settings(K2)) as poor:
        async with poor.worker():
            readable = await poor.submit("parrot", "mine", callback_url=receiver.url)
            await poor.ended(readable)
        assert [await announce(poor.runtime, passed) for _ in range(3)] == [2, 2, 0]
        assert [task.tags["task"] for task in await deliveries(poor)] == [readable.id]
        assert await announce(poor.runtime, passed) == 2  # the oldest again
        assert await announce(poor.runtime, passed) == 1
        now = poor.runtime.clock.monotonic() + announcing.AGAIN_SECONDS
        assert await announce(poor.runtime, passed) == 0  # but not all the time
        monkeypatch.setattr(poor.runtime.clock, "monotonic", lambda: now)
        assert [await announce(poor.runtime, passed) for _ in range(2)] == [0, 2]
        assert len(await deliveries(poor)) == 1
    async with sealing_house(database_url, redis_url, **settings(f"{K2},{K1}")) as mended, mended.worker():
        await announce(mended.runtime, Passed())
        assert len(await told(mended)) == 4
    assert [CANARY in body.decode() for _, body in receiver.requests].count(True) == 3
    assert [body for _, body in receiver.requests if b"unreadable" in body] == []


async def test_a_value_that_was_changed_is_told_as_what_it_is(
    house: House, database_url: str, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    async with house.worker():
        await house.ended(await house.submit("parrot", CANARY, callback_url=receiver.url))
        database = await asyncpg.connect(database_url)
        await database.execute("""update orchestrator_callbacks set result = '"aurea:sealed:1:k1:AAAA"'""")
        await database.close()
        await told(house)
    [(_, body)] = receiver.requests
    assert "result" in orjson.loads(body)["data"]["result"]["unreadable"]
