"""arq: asyncio over Redis. A job stays in its queue until it has run, so it runs at least once. Results kept an hour.

Tuned: 100 at once instead of 10, polled every 10 ms instead of every 500, no log line per job.
"""

# mypy: disable-error-code="import-not-found"

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings

from bench.counter import Counter
from bench.program import CALLERS, Client, System, main, servers, tool

COUNTER = Counter(Path.cwd())
REDIS = RedisSettings.from_dsn(servers()["redis"])
LOG: dict[str, Any] = {"version": 1}  # warnings only


async def nothing(_context: dict[str, Any], sent_ns: int) -> str:
    COUNTER.note(sent_ns)
    return "done"


async def nap(_context: dict[str, Any], _sent_ns: int) -> str:
    await asyncio.sleep(0.05)
    COUNTER.note()
    return "done"


class Worker:
    """What `arq` reads its settings from."""

    functions: ClassVar[Sequence[Any]] = (nothing, nap)
    redis_settings = REDIS
    max_jobs = 100
    poll_delay = 0.01
    log_results = False


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    REDIS.max_connections = CALLERS + 1
    pool = await create_pool(REDIS)
    yield Client(pool.enqueue_job)
    await pool.aclose()


def worker(_kind: str) -> list[str]:
    return [tool("arq"), "bench.peers.arq.Worker", "--custom-log-dict", "bench.peers.arq.LOG"]


if __name__ == "__main__":
    main(System(client, worker))
