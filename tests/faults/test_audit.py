"""The audit under faults: two APIs, one of them killed, Postgres away for a while, and still one whole trail."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from orchestrator.chaos.stores import Stores
from orchestrator.domain.audit import followed
from tests.faults.system import System, running_system, until

HELLO = {"type": "nap", "payload": {"seconds": 0.0}, "queue": "nobody"}


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    opened = Stores(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def submitting(system: System, name: str, answered: set[str]) -> None:
    """Submit one task after the other, and note those that were answered as created, until it is cancelled."""
    async with system.client(name, timeout_seconds=5) as client:
        while True:
            try:
                answer = await client.post("/tasks", json=HELLO)
            except httpx2.TransportError:
                await asyncio.sleep(0.02)
                continue
            if answer.status_code == 201:
                answered.add(answer.json()["id"])


async def more(answered: set[str], number: int) -> None:
    """Return when so many more were answered."""
    wanted = len(answered) + number

    async def there_are() -> bool:
        return len(answered) >= wanted

    await until(there_are, 30)


async def test_what_was_answered_has_a_line_whatever_died_and_the_trail_is_whole(
    stores: Stores, tmp_path: Path
) -> None:
    answered: set[str] = set()
    async with running_system(stores.postgres, stores.valkey, tmp_path) as system:
        for name in ("api", "api2", "scheduler"):
            system.start(name)
        for name in ("api", "api2"):
            await system.ready(name)
        callers = [
            asyncio.create_task(submitting(system, name, answered)) for name in ("api", "api2") for _ in range(8)
        ]
        await more(answered, 200)
        system.kill("api2")
        await more(answered, 50)
        system.start("api2")
        await stores.pause("postgres")
        await more(answered, 50)
        await stores.resume("postgres")
        await system.ready("api2")
        await more(answered, 200)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

        async with system.client() as client:

            async def caught_up() -> bool:
                return "aurea_outbox_depth 0.0" in (await client.get("/metrics")).text

            await until(caught_up, 20)
            lines, cursor = [], ""
            while cursor is not None:
                query = {"order": "oldest", "limit": 100} | ({"cursor": cursor} if cursor else {})
                page = (await client.get("/audit", params=query)).json()
                lines += page["items"]
                cursor = page["next_cursor"]
    assert len(list(followed(lines))) == len(lines)
    told = [target for line in lines for target in line["targets"]]
    assert answered - set(told) == set()
    assert len(told) == len(set(told))
