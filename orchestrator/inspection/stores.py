"""The stores as `aurea check` finds them: reachable, recent, migrated, and keeping what they are given.

It connects and changes nothing. What is secret in a URL is not repeated.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from orchestrator.artifacts.choice import choose
from orchestrator.domain.artifact import BUCKETS
from orchestrator.domain.errors import NotConfigured, NotStarted, StoreRefused, Unavailable
from orchestrator.embedded import postgres, valkey
from orchestrator.embedded.home import Home
from orchestrator.inspection.finding import Finding
from orchestrator.ledger.pool import open_pool
from orchestrator.ledger.statements import load
from orchestrator.queue.connect import connect
from orchestrator.queue.server import RedisServer
from orchestrator.settings import Settings

_SQL = load("inspection")
_MIGRATIONS = Path(__file__).parents[2] / "migrations"
_OLDEST_POSTGRES, _OLDEST_REDIS = 15, (6, 2)
_STORE_SECONDS = 5


async def look_at_postgres(settings: Settings) -> list[Finding]:
    if settings.database_url is None:
        return [_embedded("DATABASE_URL", lambda: postgres.binary(Home(settings.aurea_home).postgres, "postgres"))]
    url = settings.database_url.get_secret_value()
    try:
        return [finding async for finding in _inside_postgres(url, settings)]
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        return [Finding("DATABASE_URL", False, f"{_place(url)} cannot be used: {error or type(error).__name__}")]


async def _inside_postgres(url: str, settings: Settings) -> AsyncIterator[Finding]:
    async with await open_pool(url, size=1, pooler=settings.aurea_db_pooler) as pool:
        server = await pool.fetchrow(_SQL["server"])
        seen = f"Postgres {server['version']} at {_place(url)}"
        if server["major"] < _OLDEST_POSTGRES:
            yield Finding("DATABASE_URL", False, f"{seen} is too old: {_OLDEST_POSTGRES} or later is needed")
        rows = await pool.fetch(_SQL["known"]) if await pool.fetchval(_SQL["is_migrated"]) else []
    known = {row["version"] for row in rows}
    missing = [file.name for file in sorted(_MIGRATIONS.glob("*.sql")) if file.name.partition("_")[0] not in known]
    if missing:
        yield Finding("DATABASE_URL", False, f"{seen} lacks {', '.join(missing)}: run `aurea migrate`")
    else:
        yield Finding("DATABASE_URL", True, f"{seen}, every migration applied")


async def look_at_redis(settings: Settings) -> list[Finding]:
    if settings.redis_url is None:
        return [_embedded("REDIS_URL", valkey.binary)]
    url = settings.redis_url.get_secret_value()
    commands, blocking = connect(url, settings.aurea_namespace)
    try:
        facts = await RedisServer(commands).facts()
    except Exception as error:  # noqa: BLE001 - whatever a foreign server answers, this only tells it
        return [Finding("REDIS_URL", False, f"{_place(url)} cannot be used: {error or type(error).__name__}")]
    finally:
        await commands.aclose()
        await blocking.aclose()
    seen = f"Redis {facts.version} at {_place(url)}"
    found = []
    if tuple(int(part) for part in facts.version.split(".")[:2] if part.isdigit()) < _OLDEST_REDIS:
        found.append(Finding("REDIS_URL", False, f"{seen} is too old: 6.2 or later is needed"))
    if facts.mends:
        found.append(Finding("REDIS_URL", False, f"{seen}: {facts.mends}"))
    return found or [Finding("REDIS_URL", True, f"{seen}, evicts nothing{facts.loses and ', '}{facts.loses}")]


async def look_at_artifacts(settings: Settings) -> list[Finding]:
    """Say nothing of a folder: it is made when it is first written to."""
    if settings.aurea_artifacts == "local":
        return []
    try:
        store = choose(settings.artifact_choice)
        for bucket in BUCKETS:
            async with asyncio.timeout(_STORE_SECONDS):
                await anext(aiter(store.files(bucket)), None)
        await store.close()
    except NotConfigured as lack:
        return [Finding(lack.variable, False, str(lack))]
    except (StoreRefused, Unavailable) as error:
        return [Finding("AUREA_ARTIFACTS", False, str(error))]
    except TimeoutError:
        return [Finding("AUREA_ARTIFACTS", False, f"{store.name} has not answered within {_STORE_SECONDS} s")]
    return [Finding("AUREA_ARTIFACTS", True, f"{store.name}, both buckets are there")]


def _embedded(variable: str, binary: Callable[[], Path]) -> Finding:
    try:
        binary()
    except NotStarted as error:
        return Finding(variable, False, str(error))
    return Finding(variable, True, "not set: `aurea up` brings its own")


def _place(url: str) -> str:
    """Host and port, without what is secret in a URL."""
    return urlsplit(url).netloc.rpartition("@")[2]
