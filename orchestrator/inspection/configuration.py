"""Everything that can be wrong with a configuration, found all at once, before it hurts: what `aurea check` prints.

It connects to the stores and changes nothing.
"""

import asyncio
from collections.abc import Iterator

from orchestrator.clock import SystemClock
from orchestrator.discovery import discover
from orchestrator.domain.errors import HandlerBroken, NotConfigured, PriceUnknown
from orchestrator.inspection.finding import Finding
from orchestrator.inspection.stores import look_at_artifacts, look_at_postgres, look_at_redis
from orchestrator.inspection.variables import look_at_names
from orchestrator.inspection.webhooks import look_at_rules, look_at_secrets
from orchestrator.models import chain
from orchestrator.models.prices import Prices, open_prices
from orchestrator.settings import Settings
from orchestrator.vault.master_keys import read_master_keys

_SHORTEST_TOKEN = 16
_NEEDED_IN_PRODUCTION = {
    "database_url": "processes look for the servers of `aurea up`",
    "redis_url": "processes look for the servers of `aurea up`",
    "aurea_api_token": "nobody is admin: only API keys and users are let in",
}
_GITHUB_APP = ("github_app_id", "github_app_private_key", "github_app_installation_id")


async def inspect(settings: Settings) -> list[Finding]:
    """Look at everything; answers within about ten seconds, whatever is away."""
    looks = (
        look_at_names, _production, _github, _encryption, look_at_rules, look_at_secrets, _templates, _handlers, _models
    )  # fmt: skip
    found = [finding for look in looks for finding in look(settings)]
    stores = await asyncio.gather(look_at_postgres(settings), look_at_redis(settings), look_at_artifacts(settings))
    return [*found, *(finding for store in stores for finding in store)]


def _production(settings: Settings) -> Iterator[Finding]:
    if settings.env != "production":
        return
    for name, without in _NEEDED_IN_PRODUCTION.items():
        if getattr(settings, name) is None:
            yield Finding(name.upper(), False, f"has to be set in production: without it {without}")
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
