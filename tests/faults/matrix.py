"""The rig of the fault matrix: a system whose stores, links and processes can be broken, shared by one group of rows.

Each row works in a queue of its own with workers of its own, heals what it broke, and asks of its own tasks only.
"""

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from orchestrator.chaos.proxy import Proxy
from orchestrator.chaos.stores import Store, Stores
from tests.faults.system import HANDLERS, System, running_system, until

LEASE_SECONDS = 2.0
SWEEP_SECONDS = 1.0
ROOM_SECONDS = 6.0
"""What two busy cores may add to any bound: a Python starts in one to four seconds there."""
TAKEN_OVER_SECONDS = LEASE_SECONDS + SWEEP_SECONDS + 1.0 + ROOM_SECONDS
LONGEST_ANSWER_SECONDS = 3.0
_OURS = HANDLERS.with_name("matrix_handlers.py")
_STANDS = """
select t.id::text, t.status::text, t.fence, count(r.fence) filter (where r.status = 'succeeded') as successes,
  coalesce(max(r.fence), 0) as newest, count(r.fence) filter (where r.status = 'running') as running
from orchestrator_tasks t left join orchestrator_runs r on r.task_id = t.id
where t.id = any($1::uuid[]) group by t.id
"""
_ENDED = "select count(*)::int from orchestrator_tasks where id = any($1::uuid[]) and status >= 'succeeded'"


def nap(queue: str, seconds: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {"type": "nap", "queue": queue, "payload": {"seconds": seconds}, **fields}


def watched(queue: str, seconds: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A nap that notes when it began, ended or was cancelled; only its first attempt takes so long."""
    return {**nap(queue, seconds, **fields), "type": "watched"}


class Rig:
    """Stores, system and a client of the process `api`."""

    def __init__(self, stores: Stores, system: System, client: httpx2.AsyncClient) -> None:
        self.stores = stores
        self.system = system
        self.client = client
        self._numbers = itertools.count(1)
        self._session: asyncpg.Connection | None = None

    async def worker(self, queue: str, *flags: str, serving: bool = True, **settings: str) -> str:
        """Start one more worker, for this queue alone, with links of its own; return its name."""
        name = f"worker{next(self._numbers)}"
        await self.system.link(name)
        self.system.start(name, "--queue", queue, *flags, **settings)
        if serving:
            await self.said(name, "worker_started")
        return name

    def link(self, name: str, store: Store) -> Proxy:
        return self.system.links(name)[store]

    async def end(self, *names: str) -> None:
        """Heal the links of these processes and kill them."""
        for name in names:
            for proxy in self.system.links(name).values():
                proxy.heal()
            if name in self.system.processes:
                self.system.kill(name)

    async def said(self, name: str, event: str, seconds: float = 30) -> None:
        """Return when this process has logged that."""

        async def found() -> bool:
            return event in self.system.log(name)

        await until(found, seconds)

    async def died(self, name: str, seconds: float = 15) -> None:
        """Return when this process has killed itself."""
        process = self.system.processes[name]

        async def gone() -> bool:
            return process.poll() is not None

        await until(gone, seconds)
        assert process.returncode == -9
        self.system.processes.pop(name)

    async def submit(self, tasks: Sequence[dict[str, Any]]) -> list[str]:
        return await self.system.submit(tasks)

    async def post(
        self, task: dict[str, Any], api: str = "api", seconds: float = LONGEST_ANSWER_SECONDS
    ) -> httpx2.Response:
        """Create a task; the answer comes within the bound, whatever is broken."""
        began = time.monotonic()
        answer = await self.client.post(f"{self.system.url_of(api)}/tasks", json=task)
        assert time.monotonic() - began < seconds, answer.text
        return answer

    async def rows(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Ask Postgres, past every proxy, on a session that is opened again when it was lost."""
        try:
            if self._session is None:
                self._session = await asyncpg.connect(self.system.database_url, timeout=5)
            return list(await self._session.fetch(sql, *values))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.hang_up()
            raise

    def hang_up(self) -> None:
        if self._session is not None:
            self._session.terminate()
        self._session = None

    async def ended(self, ids: Sequence[str], seconds: float) -> float:
        """Return when Postgres has the ending of each, and how long that took."""
        began = time.monotonic()

        async def all_final() -> bool:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                [(ended,)] = await self.rows(_ENDED, ids)
                return bool(ended == len(ids))
            return False

        await until(all_final, seconds, every=0.1)
        return time.monotonic() - began

    def noted(self, ids: Sequence[str], word: str = "start") -> list[list[str]]:
        """What the handlers of these tasks left outside the system: task, attempt, fence, word[, moment]."""
        wanted = set(ids)
        return [line for line in self.system.executions() if line[0] in wanted and line[3] == word]

    async def until_noted(self, ids: Sequence[str], word: str = "start", seconds: float = 15) -> None:
        """Return when each of these has noted it."""

        async def all_noted() -> bool:
            return {line[0] for line in self.noted(ids, word)} >= set(ids)

        await until(all_noted, seconds, every=0.02)

    async def sound(self, ids: Sequence[str], *, again: int = 0) -> None:
        """I1, I2, I3, I6, I7: each ended well, once, nothing wrote behind its end; at most `again` ran twice."""
        rows = await self.rows(_STANDS, ids)
        assert len(rows) == len(set(ids)), "lost"
        assert Counter(row["status"] for row in rows) == {"succeeded": len(rows)}
        assert [row["id"] for row in rows if row["successes"] != 1] == [], "not recorded once"
        assert [row["id"] for row in rows if row["newest"] > row["fence"] or row["running"]] == [], "stale writes"
        starts = self.noted(ids)
        assert {line[0] for line in starts} == set(ids), "recorded, not executed"
        assert len(starts) - len(set(ids)) <= again, "executed again"

    async def metric(self, name: str) -> float:
        text = (await self.client.get("/metrics")).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@contextlib.asynccontextmanager
async def open_rig(folder: Path, stores_folder: Path | None = None, **settings: str) -> AsyncIterator[Rig]:
    """Servers of our own, an API and a scheduler; the rows start the workers they want."""
    stores = Stores(stores_folder or folder)
    await stores.open()
    ours = {
        "TASK_LEASE_SECONDS": str(LEASE_SECONDS),
        "AUREA_HANDLERS": f"{HANDLERS},{_OURS}",
        "AUREA_TRACE_SAMPLE": "0",
        "AUREA_ALLOW_PRIVATE_HOSTS": "127.0.0.1",
    }
    try:
        async with running_system(stores.postgres, stores.valkey, folder, **{**ours, **settings}) as system:
            for name in ("api", "scheduler"):
                await system.link(name)
                system.start(name)
            await system.ready()
            async with system.client() as client:
                rig = Rig(stores, system, client)
                yield rig
                rig.hang_up()
    finally:
        await stores.close()
