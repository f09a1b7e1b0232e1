"""The servers and stores that tests run against: the real ones, embedded, one pair for each pytest process.

They end with the process that started them, even when that one is killed. Every test gets a database of its own, copied
from a migrated one, and an empty Redis; a test that breaks servers asks for `own_servers`.
"""

import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import hypothesis
import pytest
import pytest_asyncio
import redis
import structlog
from redis.asyncio import Redis

from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.process import alive
from orchestrator.embedded.valkey import Valkey
from orchestrator.ledger.migrate import migrate
from orchestrator.ledger.pool import open_pool
from orchestrator.queue.connect import connect

# Hundreds of processes are started: each would compile everything anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Rich tracebacks with all local variables take a second of the loop, and hold their objects.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

# The same examples in every run, however slow the machine is.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
NUMBERS = itertools.count()
_LONGEST = "storms"
IN_MEMORY = {"appendonly": "no", "enable-debug-command": "local"}


@dataclass(frozen=True)
class Servers:
    postgres: Postgres
    valkey: Valkey


def start_servers(folder: Path) -> Servers:
    postgres = Postgres(folder / "postgres", folder / "postgres.log", "postgres-password", FAST)
    postgres.start()
    return Servers(postgres, start_valkey(folder))


def start_valkey(folder: Path) -> Valkey:
    valkey = Valkey(folder / "valkey", folder / "valkey.log", "valkey-password", IN_MEMORY)
    valkey.start()
    return valkey


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Faults wait and the rest computes: mixed, neither keeps the processors idle. The longest group comes first."""
    groups: dict[str, list[pytest.Item]] = {_LONGEST: []}
    rest: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        if "/faults/" not in item.nodeid:
            rest.append(item)
        else:
            groups.setdefault(item.nodeid if mark is None else mark.args[0], []).append(item)
    share = -(-len(rest) // len(groups))
    items[:] = [
        item
        for place, group in enumerate(groups.values())
        for item in (*group, *rest[place * share : (place + 1) * share])
    ]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Shared by all tests of this process: not to be stopped, paused or reconfigured."""
    yield from _servers()


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """Fresh and unmigrated, for this test alone: stop, kill and start them as you like."""
    yield from _servers()


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """The same for a test that needs no Postgres, which takes longer to set up."""
    with _folder() as folder:
        started = start_valkey(folder)
        yield started
        started.stop()


def _servers() -> Iterator[Servers]:
    with _folder() as folder:
        started = start_servers(folder)
        yield started
        started.valkey.stop()
        started.postgres.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"aurea-tests-{os.getpid()}-", dir=_fast_folder()))
    yield folder
    shutil.rmtree(folder)


def _fast_folder() -> str | None:
    """Memory where there is plenty: copying a database takes 10 ms there, up to 200 on a disk."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        return None
    for left in memory.glob("aurea-tests-*"):
        if not alive(int(left.name.split("-")[2])):  # its tests were killed
            shutil.rmtree(left, ignore_errors=True)
    return str(memory) if shutil.disk_usage(memory).free > 2**30 else None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def databases(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """Where databases are made and dropped; the one called `migrated` is the model for all."""
    admin = await asyncpg.connect(servers.postgres.url)
    await admin.execute("create database migrated")
    await migrate(servers.postgres.url.replace("/postgres?", "/migrated?"))
    yield admin
    await admin.close()


@pytest_asyncio.fixture(loop_scope="session")
async def database_url(servers: Servers, databases: asyncpg.Connection) -> AsyncIterator[str]:
    """A migrated, empty database for this test alone."""
    name = f"test_{next(NUMBERS)}"
    # Copied file by file: going through the log, as is the default, takes twice as long, and dropping it four times.
    await databases.execute(f"create database {name} template migrated strategy file_copy")
    yield servers.postgres.url.replace("/postgres?", f"/{name}?")
    await databases.execute(f"drop database {name} with (force)")


@pytest_asyncio.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on this test's database."""
    opened = await open_pool(database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def redis_admin(servers: Servers) -> Iterator[redis.Redis]:
    """A plain client of the shared Valkey, beside the system's own."""
    with redis.Redis.from_url(servers.valkey.url) as client:
        yield client


@pytest.fixture
def redis_url(servers: Servers, redis_admin: redis.Redis) -> str:
    """An empty Redis that nobody else is connected to."""
    for kind in ("normal", "pubsub"):
        redis_admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    redis_admin.flushall()
    return servers.valkey.url


@pytest_asyncio.fixture
async def redis_clients(redis_url: str) -> AsyncIterator[tuple[Redis, Redis]]:
    """The system's own pair of clients: commands, blocking."""
    clients = connect(redis_url)
    yield clients
    for client in clients:
        await client.aclose()
