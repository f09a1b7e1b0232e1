"""The processes of a whole system: started, killed, stopped, continued and asked about from outside.

A process is called by its role and a number (`worker3`, `api1`, `scheduler`). Each is a child of this one and ends
with it, writes to a log of its own, and reaches the stores through proxies of its own where it was given some.
"""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from orchestrator.chaos.ports import quiet_port
from orchestrator.chaos.proxy import Proxy
from orchestrator.chaos.stores import STORES, Store
from orchestrator.embedded.process import launched, open_log
from orchestrator.ledger.statements import load
from orchestrator.settings import Settings, child_environment

TOKEN = "chaos-token"  # noqa: S105 - of a system that is thrown away
_FOR_HANDLERS = re.compile(r"_(key|token|secret|url|id)$")
_LEAVING_SECONDS = 60
_SQL = load("chaos")


@dataclass
class System:
    """`settings` go to every process, besides the addresses."""

    database_url: str
    redis_url: str
    folder: Path
    settings: Mapping[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kept_down: set[str] = field(default_factory=set)
    """What is not there on purpose: `fallen` does not name it."""
    _ports: dict[str, int] = field(default_factory=dict)
    _links: dict[tuple[str, Store], Proxy] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the process `api` answers."""
        return self.url_of("api")

    def url_of(self, name: str) -> str:
        """Where this API process answers."""
        return f"http://127.0.0.1:{self.port(name)}"

    def port(self, name: str) -> int:
        return self._ports.setdefault(name, quiet_port())

    async def link(self, name: str) -> None:
        """Put proxies between this process and the stores; before it is started."""
        for store in STORES:
            proxy = Proxy(int(self._url(store).rpartition(":")[2].partition("/")[0]))
            await proxy.open()
            self._links[name, store] = proxy

    def links(self, name: str) -> dict[Store, Proxy]:
        """The proxies of this process."""
        return {store: proxy for (owner, store), proxy in self._links.items() if owner == name}

    def start(self, name: str, *flags: str, **settings: str) -> None:
        """Start it, with flags behind its role: the name without digits. Call it from a thread that lives as long."""
        role = name.rstrip("0123456789")
        command: list[str | Path] = [sys.executable, Path(sys.executable).with_name("aurea"), role, *flags]
        own = {"DATABASE_URL": self._address(name, "postgres"), "REDIS_URL": self._address(name, "redis")}
        if role == "api":
            own["PORT"] = str(self.port(name))
        given = {"AUREA_HOME": str(self.folder / "home"), "AUREA_API_TOKEN": TOKEN, **self.settings, **own, **settings}
        with open_log(self.folder / f"{name}.log") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - a command of ours, no shell
                launched(command, signal.SIGKILL),
                env=child_environment({**_neutral(), **given}),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.kept_down.discard(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """SIGKILL, and it is gone; what was stopped dies as well."""
        self.kept_down.add(name)
        self.signal(name, signal.SIGKILL)
        self.processes.pop(name).wait()

    async def leave(self, name: str) -> int:
        """SIGTERM, and the exit code."""
        self.kept_down.add(name)
        process = self.processes.pop(name)
        process.terminate()
        return await asyncio.to_thread(process.wait, _LEAVING_SECONDS)

    def fallen(self) -> list[str]:
        """What ended by itself."""
        return [
            name
            for name, process in self.processes.items()
            if name not in self.kept_down and process.poll() is not None
        ]

    async def close(self) -> None:
        """Kill everything."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        for proxy in self._links.values():
            await proxy.close()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def client(self, name: str = "api", timeout_seconds: float = 30) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self.url_of(name),
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=timeout_seconds,
            trust_env=False,
        )

    async def ready(self, name: str = "api") -> None:
        """Return when this API accepts work."""
        async with self.client(name) as client:
            await until(lambda: _answers(client), seconds=30)

    async def serving(self, number: int) -> None:
        """Return when the worker of this number serves."""

        async def started() -> bool:
            return "worker_started" in self.log(f"worker{number}")

        await until(started, 30)

    async def rows(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def unfinished(self) -> int:
        """How many tasks are not final."""
        [row] = await self.rows(_SQL["unfinished"])
        return int(row[0])

    def _url(self, store: Store) -> str:
        return self.database_url if store == "postgres" else self.redis_url

    def _address(self, name: str, store: Store) -> str:
        proxy = self._links.get((name, store))
        return re.sub(r":\d+/", f":{proxy.port}/", self._url(store)) if proxy else self._url(store)


async def until(holds: Callable[[], Awaitable[bool]], seconds: float, every: float = 0.05) -> None:
    """Return when the awaited condition is true. Raises TimeoutError after the bound."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(every)


def _neutral() -> dict[str, str]:
    """Nothing of the environment changes how the system behaves; what handlers may need stays."""
    return {name.upper(): "" for name in Settings.model_fields if not _FOR_HANDLERS.search(name)}


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False
