"""A Postgres and a Valkey of our own, and everything that can happen to them.

A commit is in the hands of the system before it is answered, so that a killed server keeps it; only a power cut could
take it. Blocking calls run in a thread that lives as long as the servers: Linux ends a child with the thread that
started it.
"""

import asyncio
import os
import secrets
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import rmtree
from typing import Literal, TypeVar

import asyncpg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.chaos.ports import quiet_port
from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.valkey import Valkey
from orchestrator.ledger.migrate import migrate

Store = Literal["postgres", "redis"]
STORES: tuple[Store, ...] = ("postgres", "redis")
SESSIONS = 120
_KEPT_BY_THE_SYSTEM = {"fsync": "off", "full_page_writes": "off", "max_connections": str(SESSIONS)}

T = TypeVar("T")


class Stores:
    """Between `open` and `close` both run, on ports that stay theirs."""

    def __init__(self, folder: Path) -> None:
        self.postgres = Postgres(folder / "postgres", folder / "postgres.log", secrets.token_hex(), _KEPT_BY_THE_SYSTEM)
        self.valkey = Valkey(folder / "valkey", folder / "valkey.log", secrets.token_hex())
        self._servers: dict[Store, Postgres | Valkey] = {"postgres": self.postgres, "redis": self.valkey}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stores")
        self._paused: dict[Store, list[int]] = {}

    async def open(self) -> None:
        """Return when both answer, with the tables made."""
        for server in self._servers.values():
            await self._apart(lambda server=server: server.start(quiet_port()))  # type: ignore[misc]
        await migrate(self.postgres.url)

    async def close(self) -> None:
        for store in list(self._paused):
            await self.resume(store)
        for server in self._servers.values():
            await self._apart(server.stop)
        self._thread.shutdown()

    async def stop(self, store: Store) -> None:
        """At once, as a machine that goes down: sessions are cut; what was answered is kept."""
        server = self._servers[store]
        if isinstance(server, Valkey):
            await self._apart(server.stop)
            return
        os.kill(_postmaster(server), signal.SIGQUIT)
        while not server.ended:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.01)

    async def kill(self, store: Store) -> None:
        """SIGKILL."""
        await self._apart(self._servers[store].kill)

    async def start(self, store: Store) -> None:
        """Return when it answers again, on the port it had."""
        await self._apart(self._servers[store].start_again)

    async def pause(self, store: Store) -> None:
        """SIGSTOP to every process of the server."""
        server = self._servers[store]
        if isinstance(server, Postgres):
            pids = [_postmaster(server)]
        else:
            async with self.redis() as client:
                pids = [int((await client.info("server"))["process_id"])]
        self._paused[store] = pids
        _signal(pids, signal.SIGSTOP)  # the first alone, so that it makes no more
        children = await self._apart(lambda: _children(pids[0]))
        _signal(children, signal.SIGSTOP)
        pids += children

    async def resume(self, store: Store) -> None:
        _signal(self._paused.pop(store), signal.SIGCONT)

    async def forget(self) -> None:
        """Make Redis come back without its files; it has been stopped or killed."""
        await self._apart(lambda: rmtree(self.valkey.folder, ignore_errors=True))

    def redis(self) -> "Redis":
        """A client of our own, past every proxy. Use it with `async with`."""
        return Redis.from_url(self.valkey.url, socket_timeout=5, retry=Retry(NoBackoff(), 0), protocol=2)

    async def session(self) -> asyncpg.Connection:
        """A session of our own, past every proxy; close it."""
        return await asyncpg.connect(self.postgres.url, timeout=5)

    async def _apart(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)


def _postmaster(server: Postgres) -> int:
    return int((server.folder / "postmaster.pid").read_text().split()[0])


def _children(pid: int) -> list[int]:
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout  # noqa: S607 - wherever it is
    rows = [line.split() for line in shown.splitlines()]
    return [int(child) for child, parent in rows if int(parent) == pid]


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
