"""The HTTP application for one test, on stores of its own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.door import Door, open_door


@pytest_asyncio.fixture
async def door(database_url: str, redis_url: str) -> AsyncIterator[Door]:
    async with open_door(database_url, redis_url) as opened:
        yield opened
