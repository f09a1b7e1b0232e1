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

from orchestrator.artifacts.choice import choose
from orchestrator.clock import SystemClock
from orchestrator.discovery import discover
from orchestrator.domain.artifact import BUCKETS
from orchestrator.domain.errors import HandlerBroken, NotConfigured, NotStarted, PriceUnknown, StoreRefused, Unavailable
from orchestrator.embedded import postgres, valkey
from orchestrator.embedded.home import Home
from orchestrator.ledger.pool import open_pool
from orchestrator.ledger.statements import load
from orchestrator.models import chain
from orchestrator.models.prices import Prices, open_prices
from orchestrator.queue.connect import connect
from orchestrator.queue.server import RedisServer
from orchestrator.settings import Settings
from orchestrator.sources import fault_of, read_sources
from orchestrator.vault.master_keys import read_master_keys

_SQL = load("inspection")
_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_OLDEST_POSTGRES, _OLDEST_REDIS = 15, (6, 2)
_SHORTEST_TOKEN = 16
_STORE_SECONDS = 5
_GITHUB_APP = ("github_app_id", "github_app_private_key", "github_app_installation_id")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: the variable it depends on, whether it is well, and what was seen or is to do."""

    subject: str
    is_well: bool
    detail: str


async def inspect(settings: Settings) -> list[Finding]:
    """Look at everything; answers within about ten seconds, whatever is away."""
    looks = (_production, _github, _encryption, _rules, _templates, _handlers, _models)
    found = [finding for look in looks for finding in look(settings)]
    stores = await asyncio.gather(_postgres(settings), _redis(settings), _artifacts(settings))
    return [*found, *(finding for store in stores for finding in store)]


def _production(settings: Settings) -> Iterator[Finding]:
    if settings.env != "production":
        return
    for name in ("database_url", "redis_url", "aurea_api_token"):
        if getattr(settings, name) is None:
            yield Finding(name.upper(), False, "has to be set in production")
    if settings.aurea_api_token and len(settings.aurea_api_token.get_secret_value()) < _SHORTEST_TOKEN:
        yield Finding("AUREA_API_TOKEN", False, f"is easily guessed: use {_SHORTEST_TOKEN} random characters or more")
    if settings.supabase_url and not settings.supabase_url.startswith("https://"):
        yield Finding(
            "SUPABASE_URL", False, "has to be https in production: the keys of its users are fetched from there"
        )


def _github(settings: Settings) -> Iterator[Finding]:
    missing = [name.upper() for name in _GITHUB_APP if getattr(settings, name) is None]
    if 0 < len(missing) < len(_GITHUB_APP):
        yield Finding(missing[0], False, "is missing: a GitHub App needs id, private key and installation")


def _encryption(settings: Settings) -> Iterator[Finding]:
    """Say nothing where there are no keys: tenants without keys are refused before this."""
    if settings.aurea_encryption_keys is None:
        return
    newest, *older = [key.id for key in read_master_keys(settings.aurea_encryption_keys.get_secret_value())]
    also = f", also opened under {', '.join(older)}" if older else ""
    tenants = settings.aurea_encrypt_tenants
    whose = "everybody's values" if "*" in tenants else f"values of {', '.join(tenants)}" if tenants else "nothing new"
    yield Finding("AUREA_ENCRYPTION_KEYS", True, f"{whose} sealed under {newest}{also}")


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
        yield from _sources(settings, rules)


def _sources(settings: Settings, rules: Path) -> Iterator[Finding]:
    """Look at the webhook sources that the file of rules declares."""
    declared = read_sources(rules)
    for issue in declared.issues:
        yield Finding("AUREA_WEBHOOK_RULES", False, f"{rules}, {issue.pointer}: {issue.detail}")
    for source in declared.sources:
        secret = settings.secret_of(source.secret_variable)
        if secret is None:
            told = f"is not set: webhooks of {source.name} are answered with 503"
            yield Finding(source.secret_variable, False, told)
        elif fault := fault_of(source, secret.get_secret_value()):
            yield Finding(source.secret_variable, False, fault)


def _templates(settings: Settings) -> Iterator[Finding]:
    folder = settings.aurea_content_templates
    if folder is not None:
        is_there = folder.is_dir()
        yield Finding("AUREA_CONTENT_TEMPLATES", is_there, str(folder) if is_there else f"{folder} is no folder")


def _handlers(settings: Settings) -> Iterator[Finding]:
    try:
        yield Finding("AUREA_HANDLERS", True, f"task types: {', '.join(discover(settings.aurea_handlers).known())}")
    except HandlerBroken as error:
        yield Finding("AUREA_HANDLERS", False, str(error))


def _models(settings: Settings) -> Iterator[Finding]:
    """Say nothing where nobody has set a key: models are not used there."""
    accesses = {access.provider: access for access in settings.model_accesses}
    candidates = chain.read(settings.aurea_model_chain, {name: access.model for name, access in accesses.items()})
    try:
        prices = open_prices(settings.aurea_prices, accesses.values())
    except NotConfigured as error:
        yield Finding("AUREA_PRICES", False, str(error))
        return
    for candidate in candidates:
        access = accesses[candidate.provider]
        if not access.is_usable and settings.aurea_model_chain != chain.PROVIDERS:  # as it comes, it names them all
            yield Finding("AUREA_MODEL_CHAIN", False, f"{candidate} has no key: set {access.variable}, or take it out")
    asked = [candidate for candidate in candidates if accesses[candidate.provider].is_usable]
    meant = [chain.Candidate(access.provider, access.model) for access in accesses.values() if access.is_usable]
    unknown = [candidate for candidate in dict.fromkeys([*asked, *meant]) if not _is_priced(candidate, prices)]
    for candidate in unknown:
        where = f"{candidate.provider.upper()}_MODEL" if candidate in meant else "AUREA_MODEL_CHAIN"
        yield Finding(where, False, str(PriceUnknown(candidate.provider, candidate.model)))
    if asked and not unknown:
        yield Finding("AUREA_MODEL_CHAIN", True, f"models: {', '.join(map(str, asked))}")


def _is_priced(candidate: chain.Candidate, prices: Prices) -> bool:
    try:
        prices.of(candidate, SystemClock().now())
    except PriceUnknown:
        return False
    return True


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


async def _artifacts(settings: Settings) -> list[Finding]:
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
