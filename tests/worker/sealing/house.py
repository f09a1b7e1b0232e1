"""A house whose tenants are encrypted, and eyes for whatever lies in its stores."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import redis.asyncio

from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.states import State
from orchestrator.domain.task import Task
from orchestrator.operations import read
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.submit import Intake
from orchestrator.queue.subscriptions import Gap, Watch
from orchestrator.settings import Settings
from orchestrator.wiring import open_runtime
from tests.worker.conftest import House

CANARY = "canary-4711-sings"
K1 = f"k1:{b64encode(bytes(range(32))).decode()}"
K2 = f"k2:{b64encode(bytes(range(1, 33))).decode()}"
SECRET = {"secret": CANARY}
OFF = {"aurea_encryption_keys": None, "aurea_encrypt_tenants": ""}


@asynccontextmanager
async def sealing_house(
    database_url: str, redis_url: str, *, isolated: bool = False, **changes: Any
) -> AsyncIterator[House]:
    given = {
        "database_url": database_url,
        "redis_url": redis_url,
        "task_lease_seconds": 2,
        "aurea_handlers": ("tests.worker.sealing.handlers",),
        "aurea_encryption_keys": K1,
        "aurea_encrypt_tenants": "*",
        **changes,
    }
    async with open_runtime(Settings(_env_file=None, **given), "worker", isolated=isolated) as runtime:
        if not isolated:
            await open_epoch(runtime)
        intake = Intake(runtime)
        intake.start()
        yield House(runtime, intake, redis_url)
        await intake.stop()


async def tables(database: asyncpg.Connection) -> str:
    """Every row of every table, as text."""
    names = await database.fetch("select tablename from pg_tables where schemaname = 'public'")
    rows = [await database.fetch(f'select t::text from "{name}" t') for (name,) in names]
    return "\n".join(text for table in rows for (text,) in table)


async def keys(redis_url: str) -> str:
    """Everything that Redis holds, as text."""
    readers = {b"string": ("GET",), b"hash": ("HGETALL",), b"set": ("SMEMBERS",), b"zset": ("ZRANGE", 0, -1)}
    readers[b"stream"] = ("XRANGE", "-", "+")
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        found = []
        async for key in client.scan_iter():
            verb, *rest = readers[await client.type(key)]
            found.append((key, await client.execute_command(verb, key, *rest)))
    return str(found)


async def read_it(house: House, task: Task) -> Task:
    return await read.get(house.runtime, DEFAULT_TENANT, task.id)


async def told(watch: Watch, status: State) -> None:
    """Return when this status was published."""
    async with asyncio.timeout(20):
        while True:
            message = await watch.next()
            if not isinstance(message, Gap) and message.event.data in (
                {"status": status, "attempt": n} for n in (0, 1)
            ):
                return
