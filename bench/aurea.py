"""This system, asked the same as its peers, and a few things more.

The worker is `aurea worker` as in production, with MAX_CONCURRENCY=100, leases, metrics, its log at INFO and 1 % of
traces exported. In process, tasks go through the operation behind POST /tasks.

    pace_queue NUMBER RATE  like `pace`, but of rows that are committed: only their entry into the queue, which is all
                            that a call of the Redis peers does
    api                     become `aurea api`
    write NUMBER            submit documents to write, in one call
    post NUMBER             POST /tasks, 64 connections
    post_batch NUMBER       POST /tasks/batch with 100 tasks each, 8 connections

The two that post wait until the API is ready and print the seconds they took from then on.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.error import URLError
from urllib.request import urlopen

import orjson

from bench import load
from bench.program import Client, System, main, pace, parts, run, servers
from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.ledger.migrate import migrate
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.request import Origin, TaskRequest, accept
from orchestrator.operations.submit import Intake, Receipt
from orchestrator.settings import read_settings
from orchestrator.telemetry.logs import configure
from orchestrator.wiring import open_runtime

AUREA = [sys.executable, "-m", "app.cli.main"]
TASKS_A_REQUEST = 100
READY_SECONDS = 30
ORIGIN = Origin(DEFAULT_TENANT)


async def setup() -> None:
    """Bring it to where a running system is: migrated, its epoch opened as the first worker ever does."""
    await migrate(servers()["postgres"])
    async with open_runtime(read_settings(), "worker") as runtime:
        await open_epoch(runtime)


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    settings = read_settings()
    configure(settings.log_level, settings.log_format)
    async with open_runtime(settings, "api") as runtime:
        intake = Intake(runtime)
        intake.start()

        async def send(task: str, sent_ns: int) -> None:
            await intake.submit(TaskRequest(type=task, payload={"sent_ns": sent_ns}), ORIGIN)

        async def fill(task: str, number: int) -> None:
            for part in parts(number, 1000):
                answers = await intake.submit_many([TaskRequest(type=task)] * part, ORIGIN)
                for answer in answers:
                    if not isinstance(answer, Receipt):
                        raise answer

        yield Client(send, fill)
        await intake.stop()


async def pace_queue(number: int, rate: float) -> None:
    async with open_runtime(read_settings(), "api") as runtime:
        tasks = [accept(runtime, TaskRequest(type="nothing"), ORIGIN) for _ in range(number)]
        await runtime.ledger.insert(tasks)
        entries = iter(await runtime.ledger.entries_of([task.id for task in tasks]))

        async def send(_: str, sent_ns: int) -> None:
            payload = orjson.dumps({"sent_ns": sent_ns})
            await runtime.queue.enqueue([replace(next(entries), payload=payload, ready_at_us=None, restored=False)])

        await pace(send, number, rate)


async def write(number: int) -> None:
    asked = TaskRequest(type="gen_content", payload={"prompt": "Write something."})
    async with open_runtime(read_settings(), "api") as runtime:
        intake = Intake(runtime)
        intake.start()
        for answer in await intake.submit_many([asked] * number, ORIGIN):
            if not isinstance(answer, Receipt):
                raise answer
        await intake.stop()


def worker(kind: str) -> list[str]:
    if kind == "profile":
        return [sys.executable, "-m", "bench.sampler", "profile.json", "worker"]
    return [*AUREA, "worker"]


async def post(number: int, tasks_a_request: int) -> None:
    one = {"type": "nothing", "payload": {}}
    url, token = servers()["api"], servers()["token"]
    await asyncio.to_thread(_wait_until_ready, url)
    began = time.perf_counter()
    if tasks_a_request == 1:
        await load.post(f"{url}/tasks", token, orjson.dumps(one), number, connections=64)
    else:
        body = orjson.dumps({"tasks": [one] * tasks_a_request})
        await load.post(f"{url}/tasks/batch", token, body, number // tasks_a_request, connections=8)
    print(time.perf_counter() - began)


def _wait_until_ready(api: str) -> None:
    patience = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urlopen(f"{api}/readyz"):
                return
        except URLError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["api"]:
            os.execv(AUREA[0], [*AUREA, "api"])
        case ["pace_queue", number, rate]:
            run(pace_queue(int(number), float(rate)))
        case ["write", number]:
            run(write(int(number)))
        case ["post", number]:
            run(post(int(number), 1))
        case ["post_batch", number]:
            run(post(int(number), TASKS_A_REQUEST))
        case _:
            main(System(client, worker, setup))
