"""A whole system of processes on servers of its own: started, killed and asked about from outside."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.valkey import Valkey
from orchestrator.ledger.migrate import migrate

HANDLERS = Path(__file__).with_name("handlers.py")
TOKEN = "fault-token"
AUREA = Path(sys.executable).with_name("aurea")
FINAL = ("succeeded", "failed", "cancelled", "expired")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class System:
    """Processes by name; each can be killed, paused and started again."""

    database_url: str
    redis_url: str
    folder: Path
    settings: dict[str, str]
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def effects(self) -> Path:
        """Where the test handlers write one line per execution."""
        return self.folder / "effects"

    def start(self, name: str, **settings: str) -> None:
        """Start `api`, `scheduler` or `worker…`; the role is the name without its digits."""
        role = name.rstrip("0123456789")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AUREA_HOME": str(self.folder / "home"),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "AUREA_API_TOKEN": TOKEN,
            "AUREA_HANDLERS": str(HANDLERS),
            "EFFECTS": str(self.effects),
            "PORT": str(self.port),
            **self.settings,
            **settings,
        }
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [AUREA, role], env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        log.close()

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.processes.pop(name).wait()

    async def leave(self, name: str) -> int:
        """SIGTERM, and the exit code."""
        process = self.processes.pop(name)
        process.terminate()
        return await asyncio.to_thread(process.wait, 60)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False
        )

    async def ready(self) -> None:
        """Return when the API accepts work."""
        async with self.client() as client:
            await until(lambda: _answers(client), seconds=30)

    async def serving(self, number: int) -> None:
        """Return when the worker of this number serves."""

        async def started() -> bool:
            return "worker_started" in self.log(f"worker{number}")

        await until(started, 30)

    async def submit(self, tasks: Sequence[dict[str, Any]]) -> list[str]:
        """Hand in tasks a thousand at a time, in order; return their ids."""
        ids: list[str] = []
        async with self.client() as client:
            for start in range(0, len(tasks), 1000):
                answer = await client.post("/tasks/batch", json={"tasks": list(tasks[start : start + 1000])})
                assert answer.status_code == 201, answer.text
                ids += [each["task"]["id"] for each in answer.json()["items"]]
        return ids

    async def rows(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close()

    async def drained(self, seconds: float) -> None:
        """Return when every task is final."""
        connection = await asyncpg.connect(self.database_url)
        left = "select count(*) from orchestrator_tasks where status <> all($1::orchestrator_state[])"

        async def none_left() -> bool:
            return await connection.fetchval(left, FINAL) == 0

        try:
            await until(none_left, seconds)
        finally:
            await connection.close()

    def executions(self) -> list[list[str]]:
        """Every execution the handlers noted: task id, attempt, fence, word."""
        if not self.effects.exists():
            return []
        return [line.split() for line in self.effects.read_text().splitlines()]


async def until(holds: Any, seconds: float, every: float = 0.05) -> None:
    """Return when the awaited condition is true; fail after the bound."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(every)


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


@contextlib.asynccontextmanager
async def running_system(postgres: Postgres, valkey: Valkey, folder: Path, **settings: str) -> AsyncIterator[System]:
    """A migrated database and an empty Redis; the test starts the processes it wants."""
    await migrate(postgres.url)
    system = System(postgres.url, valkey.url, folder, {"TASK_LEASE_SECONDS": "3", **settings})
    try:
        yield system
    finally:
        for process in system.processes.values():
            process.kill()
        for process in system.processes.values():
            process.wait()
