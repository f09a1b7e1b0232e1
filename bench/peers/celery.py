"""Celery over Redis: acknowledged late, so that a task of a dead worker is delivered again. Results kept a day.

One prefork child, its usual pool; 100 threads for tasks that sleep. Gossip, mingle and heartbeat off, no log line per
task. Its client is not asynchronous: it submits from a plain loop.
"""

# mypy: disable-error-code="import-not-found"

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from celery import Celery

from bench.counter import Counter
from bench.program import Client, System, main, servers, tool

COUNTER = Counter(Path.cwd())
POOLS = {"drain": ["--pool", "prefork", "--concurrency", "1"], "nap": ["--pool", "threads", "--concurrency", "100"]}
app = Celery("bench", broker=servers()["redis"], backend=servers()["redis"])
app.conf.task_acks_late = True
app.conf.broker_connection_retry_on_startup = True


def nothing(sent_ns: int) -> str:
    COUNTER.note(sent_ns)
    return "done"


def nap(_sent_ns: int) -> str:
    time.sleep(0.05)
    COUNTER.note()
    return "done"


TASKS = {"nothing": app.task(nothing, name="nothing"), "nap": app.task(nap, name="nap")}


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async def send(task: str, sent_ns: int) -> None:
        TASKS[task].delay(sent_ns)

    yield Client(send)
    app.close()


def worker(kind: str) -> list[str]:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    return [tool("celery"), "--app", "bench.peers.celery", "worker", *POOLS[kind], *quiet]


if __name__ == "__main__":
    main(System(client, worker))
