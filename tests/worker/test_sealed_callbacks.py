"""An encrypted tenant's task tells its end: whoever is told reads it, no store does."""

from collections.abc import AsyncIterator

import asyncpg
import orjson
import pytest
from pytest_httpserver import HTTPServer

from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.operations import subscription as subscribing
from tests.worker.conftest import House
from tests.worker.sealing import CANARY, SECRET, keys, sealing_house, tables
from tests.worker.test_callbacks import Receiver, told


@pytest.fixture
async def house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    async with sealing_house(
        database_url, redis_url, aurea_signing_secrets=("m" * 40,), aurea_allow_private_hosts=("localhost",)
    ) as opened:
        yield opened


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
