"""Everything that can be wrong with a configuration, found all at once, before it hurts: what `aurea check` prints.

It connects to the stores and changes nothing.
"""

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from orchestrator.discovery import discover
from orchestrator.domain.errors import HandlerBroken, NotStarted
from orchestrator.embedded import postgres, valkey
from orchestrator.embedded.home import Home
from orchestrator.ledger.pool import open_pool
from orchestrator.ledger.statements import load
from orchestrator.queue.connect import connect
from orchestrator.queue.server import RedisServer
from orchestrator.settings import Settings

_SQL = load("inspection")
_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_OLDEST_POSTGRES, _OLDEST_REDIS = 15, (6, 2)
_SHORTEST_TOKEN = 16
_GITHUB_APP = ("github_app_id", "github_app_private_key", "github_app_installation_id")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: the variable it depends on, whether it is well, and what was seen or is to do."""

    subject: str
    is_well: bool
    detail: str


async def inspect(settings: Settings) -> list[Finding]:
    """Look at everything; answers within about ten seconds, whatever is away."""
    found = [*_production(settings), *_github(settings), *_rules(settings), *_handlers(settings)]
    stores = await asyncio.gather(_postgres(settings), _redis(settings))
    return [*found, *(finding for store in stores for finding in store)]


def _production(settings: Settings) -> Iterator[Finding]:
    if settings.env != "production":
        return
    for name in ("database_url", "redis_url", "aurea_api_token"):
        if getattr(settings, name) is None:
            yield Finding(name.upper(), False, "has to be set in production")
    if settings.aurea_api_token and len(settings.aurea_api_token.get_secret_value()) < _SHORTEST_TOKEN:
        yield Finding("AUREA_API_TOKEN", False, f"is easily guessed: use {_SHORTEST_TOKEN} random characters or more")


def _github(settings: Settings) -> Iterator[Finding]:
    missing = [name.upper() for name in _GITHUB_APP if getattr(settings, name) is None]
    if 0 < len(missing) < len(_GITHUB_APP):
        yield Finding(missing[0], False, "is missing: a GitHub App needs id, private key and installation")


def _rules(settings: Settings) -> Iterator[Finding]:
    rules = settings.webhook_rules
    if rules is None:
        return
    try:
        tomllib.loads(rules.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        yield Finding("AUREA_WEBHOOK_RULES", False, f"{rules} cannot be read: {error}")
    else:
        yield Finding("AUREA_WEBHOOK_RULES", True, str(rules))


def _handlers(settings: Settings) -> Iterator[Finding]:
    try:
        yield Finding("AUREA_HANDLERS", True, f"task types: {', '.join(discover(settings.aurea_handlers).known())}")
    except HandlerBroken as error:
        yield Finding("AUREA_HANDLERS", False, str(error))


async def _postgres(settings: Settings) -> list[Finding]:
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


async def _redis(settings: Settings) -> list[Finding]:
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


def _embedded(variable: str, binary: Callable[[], Path]) -> Finding:
    try:
        binary()
    except NotStarted as error:
        return Finding(variable, False, str(error))
    return Finding(variable, True, "not set: `aurea up` brings its own")


def _place(url: str) -> str:
    """Host and port, without what is secret in a URL."""
    return urlsplit(url).netloc.rpartition("@")[2]
