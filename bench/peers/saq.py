"""SAQ: asyncio over Redis, woken by BLMOVE. Retries left, so that a job of a dead worker is swept back: at least once.

Tuned: 100 at once instead of 10. Results kept ten minutes.
"""

# mypy: disable-error-code="import-not-found"

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from saq import Queue

from bench.counter import Counter
from bench.program import Client, System, main, servers, tool

COUNTER = Counter(Path.cwd())
QUEUE = Queue.from_url(servers()["redis"])


async def nothing(_context: dict[str, Any], *, sent_ns: int) -> str:
    COUNTER.note(sent_ns)
    return "done"


async def nap(_context: dict[str, Any], *, sent_ns: int) -> str:
    await asyncio.sleep(0.05)
    COUNTER.note()
    return "done"


WORKER = {"queue": QUEUE, "functions": [nothing, nap], "concurrency": 100}


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async def send(task: str, sent_ns: int) -> None:
        await QUEUE.enqueue(task, sent_ns=sent_ns, retries=3)

    await QUEUE.connect()
    yield Client(send)
    await QUEUE.disconnect()


def worker(_kind: str) -> list[str]:
    return [tool("saq"), "bench.peers.saq.WORKER"]


if __name__ == "__main__":
    main(System(client, worker))
