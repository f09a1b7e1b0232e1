"""Slow connections and endless bodies against an API process of its own, while others ask for its health.

`python -m tests.fuzz.flood --connections 200 --gigabytes 10` prints the figures of a long one.
"""

import argparse
import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from orchestrator.chaos.ports import quiet_port
from orchestrator.clock import SystemClock
from orchestrator.ledger.migrate import migrate
from tests.api.door import TOKEN
from tests.conftest import start_servers

_AUREA = Path(sys.executable).with_name("aurea")
_LOGIN = f"Host: aurea.test\r\nAuthorization: Bearer {TOKEN}\r\n"
_CHUNK = b"100000\r\n" + b"a" * 2**20 + b"\r\n"
_OPENINGS = (
    b"",
    b"GET /health HTTP/1.1\r\nHost: aurea.test\r\n",
    f"POST /tasks HTTP/1.1\r\n{_LOGIN}Content-Length: 1000\r\n\r\n{{".encode(),
    f"POST /webhooks/github HTTP/1.1\r\n{_LOGIN}Transfer-Encoding: chunked\r\n\r\n1\r\n".encode(),
    f"POST /tasks/batch HTTP/1.1\r\n{_LOGIN}Content-Length: 10000000\r\n\r\n".encode(),
)
"""What a slow sender begins with; it goes on with a byte now and then."""
_CHUNKED = f" HTTP/1.1\r\n{_LOGIN}Transfer-Encoding: chunked\r\n\r\n"
_ENDLESS = (
    "POST /tasks" + _CHUNKED,
    "POST /tasks/batch" + _CHUNKED,
    "POST /livez" + _CHUNKED,
    "POST /webhooks/github" + _CHUNKED,
    f"GET /tasks HTTP/1.1\r\n{_LOGIN}X-Long: ",
    "GET /tasks?",
)
"""What is followed by chunks until it is refused: bodies that are read and that are not, a header, an address."""


@dataclass
class Api:
    port: int
    pid: int

    def memory_mb(self) -> float:
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=True)
        return int(told.stdout) / 1024


@dataclass
class Figures:
    health_seconds: list[float] = field(default_factory=list)
    sent_bytes: int = 0
    before_mb: float = 0
    most_mb: float = 0
    cut: int = 0
    """Slow connections that the server ended."""


@asynccontextmanager
async def api_process(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    port = quiet_port()
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AUREA_API_TOKEN": TOKEN}
    environment = {**os.environ, **stores, "GITHUB_WEBHOOK_SECRET": "secret", "LOG_LEVEL": "ERROR"}
    process = await asyncio.create_subprocess_exec(_AUREA, "api", "--port", str(port), env=environment)
    try:
        async with httpx2.AsyncClient() as http:
            for _ in range(600):
                with suppress(httpx2.HTTPError):
                    if (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                        break
                await asyncio.sleep(0.05)
        yield Api(port, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def flood(api: Api, *, connections: int, total_bytes: int) -> Figures:
    """Hold the slow connections and send the bodies, asking for the health of the process all the while."""
    figures = Figures(before_mb=api.memory_mb())
    openings = itertools.cycle(_OPENINGS)
    slow = [asyncio.create_task(_drip(api, next(openings), figures)) for _ in range(connections)]
    heads = itertools.cycle(_ENDLESS)
    bodies = [asyncio.create_task(_pour(api, heads, total_bytes, figures)) for _ in range(4)]
    clock = SystemClock()
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=30) as http:
        while len(figures.health_seconds) < 10 or not all(body.done() for body in bodies):
            began = clock.monotonic()
            answer = await http.get("/health")
            assert answer.status_code == 200, answer.text
            figures.health_seconds.append(clock.monotonic() - began)
            figures.most_mb = max(figures.most_mb, api.memory_mb())
            await asyncio.sleep(0.02)
    await asyncio.gather(*bodies)
    for each in slow:
        each.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    return figures


@asynccontextmanager
async def _connected(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that may be cut at any moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        with suppress(ConnectionError):
            yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _drip(api: Api, opening: bytes, figures: Figures) -> None:
    while True:
        async with _connected(api) as (reader, writer):
            writer.write(opening)
            while not reader.at_eof() and not writer.is_closing():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await reader.read(1000)
                writer.write(b"a")
        figures.cut += 1


async def _pour(api: Api, heads: Iterator[str], total_bytes: int, figures: Figures) -> None:
    """Send one after the other, each until it is refused."""
    while figures.sent_bytes < total_bytes:
        async with _connected(api) as (_, writer):
            writer.write(next(heads).encode())
            while figures.sent_bytes < total_bytes:
                writer.write(_CHUNK)
                await writer.drain()
                figures.sent_bytes += len(_CHUNK)


async def main(connections: int, gigabytes: float) -> None:
    folder = Path(tempfile.mkdtemp(prefix="aurea-flood-"))
    servers = start_servers(folder)
    try:
        await migrate(servers.postgres.url)
        async with api_process(servers.postgres.url, servers.valkey.url) as api:
            figures = await flood(api, connections=connections, total_bytes=int(gigabytes * 1e9))
    finally:
        servers.valkey.stop()
        servers.postgres.stop()
        shutil.rmtree(folder)
    asked = sorted(figures.health_seconds)
    sys.stdout.write(
        f"{connections} slow connections, {figures.sent_bytes / 1e9:.2f} GB offered, {figures.cut} cut\n"
        f"/health asked {len(asked)} times: median {asked[len(asked) // 2] * 1000:.0f} ms, "
        f"p99 {asked[int(len(asked) * 0.99)] * 1000:.0f} ms, longest {asked[-1] * 1000:.0f} ms\n"
        f"memory {figures.before_mb:.0f} MB before, {figures.most_mb:.0f} MB at most\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--gigabytes", type=float, default=10)
    given = parser.parse_args()
    asyncio.run(main(given.connections, given.gigabytes))
