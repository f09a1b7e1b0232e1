"""dramatiq: threads over Redis. A message is acknowledged after it was processed. Results kept in Redis ten minutes.

32 threads instead of 8, and 100 for tasks that sleep. Its client is not asynchronous: it submits from a plain loop.
"""

# mypy: disable-error-code="import-not-found"

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.counter import Counter
from bench.program import Client, System, main, servers, tool

COUNTER = Counter(Path.cwd())
THREADS = {"drain": 32, "nap": 100}
BROKER = RedisBroker(url=servers()["redis"])
BROKER.add_middleware(Results(backend=RedisBackend(url=servers()["redis"]), store_results=True))
dramatiq.set_broker(BROKER)


def nothing(sent_ns: int) -> str:
    COUNTER.note(sent_ns)
    return "done"


def nap(_sent_ns: int) -> str:
    time.sleep(0.05)
    COUNTER.note()
    return "done"


ACTORS = {"nothing": dramatiq.actor(nothing), "nap": dramatiq.actor(nap)}


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async def send(task: str, sent_ns: int) -> None:
        ACTORS[task].send(sent_ns)

    yield Client(send)
    BROKER.close()


def worker(kind: str) -> list[str]:
    return [tool("dramatiq"), "bench.peers.dramatiq", "--processes", "1", "--threads", str(THREADS[kind])]


if __name__ == "__main__":
    main(System(client, worker))
