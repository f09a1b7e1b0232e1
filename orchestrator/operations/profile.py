"""Profiles: how the limits of tenants are set, and how every process learns of them within seconds.

They stand in Postgres. Each process keeps those that bind, and looks every few seconds for what has changed; copies in
Redis are for one that starts while Postgres is away. A process that cannot look goes on with what it knows.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from orchestrator.domain.errors import Unavailable, UnknownType
from orchestrator.domain.ids import Tenant, is_tenant
from orchestrator.domain.money import DayLimits, to_nano
from orchestrator.domain.profile import BEGINNING, Bounds, Profile, Tenancy, spelled, types_of
from orchestrator.operations.paging import Page, open_cursor, page_of
from orchestrator.operations.quota import forget
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.profile")

_EVERY_SECONDS = 3.0


async def read(runtime: Runtime, tenant: Tenant) -> tuple[Profile, DayLimits]:
    """Return a tenant's limits, and what it may spend in a day. Raises Unavailable."""
    return await runtime.ledger.profile_of(tenant)


async def page(runtime: Runtime, cursor: str | None, limit: int) -> Page[Tenancy]:
    """Return tenants by name: those with limits, keys or tasks that are kept. Raises InvalidCursor or Unavailable."""
    found = await runtime.ledger.tenants(open_cursor(cursor, _name) or "", limit + 1)
    return page_of(found, limit, lambda each: each.profile.tenant)


async def set_profile(
    runtime: Runtime, profile: Profile, usd_per_day: float | None, usd_of_types: Mapping[str, float] | None = None
) -> DayLimits:
    """Set all limits of a tenant, and return its money; the other processes know within five seconds.

    Raises Unavailable.

    Raises UnknownType for a limit of a type that no handler here has, unless the tenant has limits for it already.
    What was accepted before stays; what runs is not stopped. A crash half-way leaves all of it set, or none.
    """
    of_types = {name: to_nano(usd) for name, usd in (usd_of_types or {}).items()}
    money = DayLimits(None if usd_per_day is None else to_nano(usd_per_day), of_types)
    await _check_types(runtime, profile.tenant, {*profile.types, *of_types})
    await runtime.ledger.set_profile(profile, money)
    _log.info("profile_set", tenant=profile.tenant, limits=spelled(profile, money))
    await learn(runtime)
    try:
        await runtime.queue.bound(ceilings(runtime))
    except Unavailable as away:  # the chore of limits says it again
        _log.warning("ceilings_deferred", reason=str(away))
    return money


async def learn(runtime: Runtime) -> None:
    """Look for what has changed. Raises Unavailable when neither store answers and nothing is known."""
    known = runtime.profiles
    try:
        found, since = await runtime.ledger.profiles_since(known.since)
    except Unavailable:
        if known.since == BEGINNING:
            _note(runtime, [_read(copy) for copy in (await runtime.queue.profile_copies()).values()])
        return
    changed = [profile for profile in found if known.by_tenant.get(profile.tenant, Profile(profile.tenant)) != profile]
    # Each process, as it learns of it: what another made meanwhile without counting is then counted as well.
    counted = {profile.tenant for profile in changed if known.since != BEGINNING and profile.bounds_intake}
    known.since = since
    _note(runtime, changed)
    if counted:
        await forget(runtime, counted)
    if changed:
        try:
            await _copy(runtime, changed)
        except Unavailable:  # whoever opens the next epoch copies all of them
            return


async def keep_learning(runtime: Runtime) -> None:
    """Look every few seconds until cancelled."""
    while True:
        try:
            await learn(runtime)
        except Unavailable:
            pass  # known limits go on to hold
        except Exception:  # noqa: BLE001 - who stopped looking would hold old limits for ever
            _log.exception("profiles_not_learnt")
        await asyncio.sleep(_EVERY_SECONDS * (0.9 + 0.1 * runtime.clock.chance()))


async def restore_limits(runtime: Runtime) -> None:
    """Tell a Redis that may know nothing of all ceilings and profiles. Raises Unavailable."""
    found, _ = await runtime.ledger.profiles_since(BEGINNING)
    if found:
        await _copy(runtime, found)
        await runtime.queue.bound({owner: most for profile in found for owner, most in profile.ceilings.items()})


def ceilings(runtime: Runtime) -> dict[str, int]:
    """How many tasks may run at once, by owner, as far as this process knows."""
    every = runtime.profiles.by_tenant.values()
    return {owner: most for profile in every for owner, most in profile.ceilings.items()}


async def _check_types(runtime: Runtime, tenant: Tenant, names: set[str]) -> None:
    """A slip would limit nothing, and nobody would notice."""
    known = runtime.handlers.known()
    if unknown := sorted(names.difference(known)):
        profile, money = await runtime.ledger.profile_of(tenant)
        for name in unknown:
            if name not in profile.types and name not in money.by_type:
                place = name.replace("~", "~0").replace("/", "~1")
                raise UnknownType(name, known, f"/types/{place}")


def _name(text: str) -> str:
    """Raises ValueError."""
    if not is_tenant(text):
        raise ValueError(text)
    return text


def _note(runtime: Runtime, profiles: list[Profile]) -> None:
    for profile in profiles:
        if profile.is_bound:
            runtime.profiles.by_tenant[profile.tenant] = profile
        else:
            runtime.profiles.by_tenant.pop(profile.tenant, None)


async def _copy(runtime: Runtime, profiles: list[Profile]) -> None:
    await runtime.queue.copy_profiles({profile.tenant: orjson.dumps(profile) for profile in profiles})


def _read(copy: bytes) -> Profile:
    known: dict[str, Any] = orjson.loads(copy)
    return Profile(
        Tenant(known["tenant"]), Bounds(**known["bounds"]), known["requests_per_minute"], types_of(known["types"])
    )
