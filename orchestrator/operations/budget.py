"""The budget as people and chores meet it: how the limits stand, how they are set, and what is tidied up behind calls.

What a call reserves and spends goes through `purse`.
"""

from dataclasses import dataclass
from datetime import date, datetime

import structlog

from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import ModelUse, Standing, next_day_at, to_nano
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.budget")

BATCH = 500


@dataclass(frozen=True, slots=True)
class Account:
    """What one limit's holder did with today's money."""

    standing: Standing
    models: list[ModelUse]


@dataclass(frozen=True, slots=True)
class Budget:
    """Today's money, as a tenant may see it."""

    day: date
    resets_at: datetime
    tenant: Account
    types: list[Standing]
    """Of the types of the tenant's tasks that have a limit, or cost something; the dearest first."""
    system: Account | None
    """Of the whole system, for who may see that."""


async def release_dead(runtime: Runtime) -> int:
    """Give back what attempts that run no more had reserved, BATCH at most; return how many. Raises Unavailable."""
    dead = await runtime.ledger.dead_reservations(BATCH)
    return await runtime.ledger.unreserve(dead) if dead else 0


async def read(runtime: Runtime, tenant: Tenant, *, whole: bool) -> Budget:
    """Return today's money of a tenant, and of the whole system if that is asked for. Raises Unavailable."""
    own = await _account(runtime, tenant)
    return Budget(
        day=own.standing.day,
        resets_at=next_day_at(own.standing.day),
        tenant=own,
        types=await runtime.ledger.standings_by_type(tenant),
        system=await _account(runtime, None) if whole else None,
    )


async def _account(runtime: Runtime, tenant: Tenant | None) -> Account:
    standing = await runtime.ledger.standing(tenant, day_limit_nano=runtime.limits.day_budget_nano)
    return Account(standing, await runtime.ledger.usage_by_model(tenant))


async def set_limit(runtime: Runtime, tenant: Tenant | None, usd_per_day: float | None) -> None:
    """Limit what a tenant, or with None the whole system, may spend in a day, from now on. Raises Unavailable.

    None takes the limit away: a tenant then has the system's alone, the system MODEL_DAILY_BUDGET_USD.
    """
    await runtime.ledger.set_budget(tenant, None if usd_per_day is None else to_nano(usd_per_day))
    _log.info("budget_set", tenant=tenant, usd_per_day=usd_per_day)


async def forget(runtime: Runtime, before: date) -> int:
    """Delete the usage of days before one, BATCH calls at most; return how many. Raises Unavailable."""
    return await runtime.ledger.forget_usage(before, BATCH)
