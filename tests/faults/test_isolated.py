"""Isolated workers: tasks are run by processes that know no database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.chaos.stores import Stores
from tests.faults.system import System, running_system


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    stores = Stores(tmp_path)
    await stores.open()
    async with running_system(stores.postgres, stores.valkey, tmp_path) as started:
        yield started
    await stores.close()


async def test_an_isolated_worker_opens_no_connection_to_postgres_and_its_results_are_kept(system: System) -> None:
    dialled = 0

    def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dialled
        dialled += 1
        writer.close()

    trap = await asyncio.start_server(count, "127.0.0.1", 0)
    port = trap.sockets[0].getsockname()[1]
    system.start("api")
    system.start("scheduler")
    # An address that is there must not be used either.
    system.start("worker1", "--isolated", DATABASE_URL=f"postgresql://postgres@127.0.0.1:{port}/postgres")
    await system.ready()
    tasks = [
        *({"type": "nap", "payload": {"seconds": 0.01}} for _ in range(200)),
        {"type": "nap", "payload": {"seconds": 0.5}},
        *({"type": "stumble"} for _ in range(5)),
        {"type": "refuse"},
    ]
    ids = await system.submit(tasks)
    await system.drained(30)
    assert dialled == 0
    rows = await system.rows("select id::text, status::text, attempt from orchestrator_tasks")
    ended = {row["id"]: (row["status"], row["attempt"]) for row in rows}
    assert [ended[task_id] for task_id in ids] == [("succeeded", 1)] * 201 + [("succeeded", 2)] * 5 + [("failed", 1)]
    [(doubled,)] = await system.rows("select count(*) from orchestrator_runs where status = 'running'")
    assert doubled == 0
    trap.close()
