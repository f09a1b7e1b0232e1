"""PgQueuer: asyncio over Postgres alone. A job's row is deleted, and a log row written, once it has run; no result.

Batches of 1000 instead of 10, no bound on what runs at once; 100 at once in batches of 50 for tasks that sleep.
"""

# mypy: disable-error-code="import-not-found"

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

from bench.counter import Counter
from bench.program import CALLERS, Client, System, main, parts, servers, tool

COUNTER = Counter(Path.cwd())
BATCHES = {
    "drain": ["--batch-size", "1000"],
    "nap": ["--batch-size", "50", "--max-concurrent-tasks", "100"],
}


async def nothing(job: Any) -> None:
    COUNTER.note(int(job.payload))


async def nap(_job: Any) -> None:
    await asyncio.sleep(0.05)
    COUNTER.note()


@asynccontextmanager
async def consumer() -> AsyncIterator[PgQueuer]:
    """What `pgq run` makes its worker with."""
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(servers()["postgres"])))
    queuer.entrypoint("nothing")(nothing)
    queuer.entrypoint("nap")(nap)
    yield queuer


async def setup() -> None:
    connection = await asyncpg.connect(servers()["postgres"])
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async with asyncpg.create_pool(servers()["postgres"], min_size=CALLERS, max_size=CALLERS) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))

        async def send(task: str, sent_ns: int) -> None:
            await queries.enqueue(task, str(sent_ns).encode())

        async def fill(task: str, number: int) -> None:
            for part in parts(number, 1000):
                await queries.enqueue([task] * part, [b"0"] * part, [0] * part)

        yield Client(send, fill)


def worker(kind: str) -> list[str]:
    return [tool("pgq"), "run", "bench.peers.pgqueuer:consumer", *BATCHES[kind], "--log-level", "WARNING"]


if __name__ == "__main__":
    main(System(client, worker, setup))
