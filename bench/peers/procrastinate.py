"""Procrastinate: asyncio over Postgres alone, woken by NOTIFY. A job's row stays, marked as done; no result.

100 at once instead of 1; no log line per job.
"""

# mypy: disable-error-code="import-not-found"

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from procrastinate import App, PsycopgConnector

from bench.counter import Counter
from bench.program import CALLERS, Client, System, main, parts, servers, tool

COUNTER = Counter(Path.cwd())
app = App(connector=PsycopgConnector(conninfo=servers()["postgres"], min_size=4, max_size=CALLERS))


async def nothing(sent_ns: int) -> None:
    COUNTER.note(sent_ns)


async def nap(sent_ns: int) -> None:
    await asyncio.sleep(0.05)
    COUNTER.note()


TASKS = {"nothing": app.task(nothing, name="nothing"), "nap": app.task(nap, name="nap")}


async def setup() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async def send(task: str, sent_ns: int) -> None:
        await TASKS[task].defer_async(sent_ns=sent_ns)

    async def fill(task: str, number: int) -> None:
        for part in parts(number, 1000):
            await TASKS[task].batch_defer_async(*({"sent_ns": 0} for _ in range(part)))

    async with app.open_async():
        yield Client(send, fill)


def worker(_kind: str) -> list[str]:
    application = ["--app", "bench.peers.procrastinate.app", "--log-level", "warning"]
    return [tool("procrastinate"), *application, "worker", "--concurrency", "100"]


if __name__ == "__main__":
    main(System(client, worker, setup))
