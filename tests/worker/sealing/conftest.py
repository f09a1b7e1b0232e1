"""A house whose tenants are encrypted, and its database to look into."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.worker.conftest import House
from tests.worker.sealing.house import sealing_house


@pytest.fixture
async def house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    async with sealing_house(database_url, redis_url) as opened:
        yield opened


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
