"""taskiq with taskiq-redis: a Redis stream with a consumer group, acknowledged once the result is saved.

100 at once, which is its default; no log line per task. Results kept in Redis.
"""

# mypy: disable-error-code="import-not-found"

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.counter import Counter
from bench.program import Client, System, main, servers, tool

COUNTER = Counter(Path.cwd())
URL = servers()["redis"]
# From the first entry on: the queue is filled before the worker makes the consumer group.
BROKER = RedisStreamBroker(URL, consumer_id="0").with_result_backend(RedisAsyncResultBackend(URL))


async def nothing(sent_ns: int) -> str:
    COUNTER.note(sent_ns)
    return "done"


async def nap(_sent_ns: int) -> str:
    await asyncio.sleep(0.05)
    COUNTER.note()
    return "done"


TASKS = {
    "nothing": BROKER.register_task(nothing, task_name="nothing"),
    "nap": BROKER.register_task(nap, task_name="nap"),
}


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async def send(task: str, sent_ns: int) -> None:
        await TASKS[task].kiq(sent_ns)

    await BROKER.startup()
    yield Client(send)
    await BROKER.shutdown()


def worker(_kind: str) -> list[str]:
    options = ["--workers", "1", "--max-async-tasks", "100", "--log-level", "WARNING"]
    return [tool("taskiq"), "worker", "bench.peers.taskiq:BROKER", *options]


if __name__ == "__main__":
    main(System(client, worker))
