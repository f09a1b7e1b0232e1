"""The budget: no model is called before the worst that the call may cost is set aside.

Postgres alone decides, so an emptied Redis changes nothing; while Postgres is away, who wants to spend waits. A
reservation counts as long as its attempt is the one that runs: what a vanished attempt had set aside is free with its
lease. What a call came to is kept in any case, also when the attempt lost its lease meanwhile: the money is gone.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import structlog

from orchestrator.domain.errors import BudgetUsed, LeaseLost, NotConfigured, Unavailable
from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import ModelUse, Reservation, Spend, Standing, next_day_at, to_nano, to_usd
from orchestrator.domain.task import Claim
from orchestrator.operations import record
from orchestrator.operations.patience import patiently
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.budget")

BATCH = 500
_RELAY_SECONDS = 0.2
"""Between two looks for a start that waits in the outbox."""
_LAST_SECONDS = 2.0
"""How long a cancelled call is still written down."""
_NEARLY, _ALL = 80, 100


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
    system: Account | None
    """Of the whole system, for who may see that."""


async def reserve(
    runtime: Runtime, claim: Claim, provider: str, model: str, amount_nano: int, task_limit_nano: int | None = None
) -> Reservation:
    """Set the worst case of a call aside, against the day, the tenant's day and the task's own limit, or none of them.

    Raises BudgetExceeded with the figures, LeaseLost, and NotConfigured in a worker without Postgres. Waits while
    Postgres is away. What a cancelled call had set aside is free when its attempt ends.
    """
    if runtime.standby.isolated:
        raise NotConfigured("DATABASE_URL", "for this worker: the budget of models is kept in Postgres")
    asked = (claim, str(runtime.clock.task_id()), provider, model, amount_nano, task_limit_nano)
    answer = await _asked(runtime, *asked)
    if isinstance(answer, Standing):
        await patiently(runtime.clock, lambda: release_dead(runtime))  # they may hold what is missing
        answer = await _asked(runtime, *asked)
    if isinstance(answer, Standing):
        await _warn(runtime, answer, claim.entry.tenant, refused=True)
        raise answer.exceeded_by(amount_nano)
    return answer


async def spend(runtime: Runtime, spend: Spend) -> None:
    """Keep what a call came to, and give back what was reserved beyond it; once, however often it is told.

    Waits while Postgres is away. A cancelled one is finished all the same, unless that takes longer than a moment.
    """
    await _finished(_spend(runtime, spend))


async def release(runtime: Runtime, reservation: Reservation) -> None:
    """Give back all of a reservation: the call used nothing."""
    await _finished(patiently(runtime.clock, lambda: runtime.ledger.unreserve([reservation.id])))


async def release_dead(runtime: Runtime) -> int:
    """Give back what attempts that run no more had reserved, BATCH at most; return how many. Raises Unavailable."""
    dead = await runtime.ledger.dead_reservations(BATCH)
    return await runtime.ledger.unreserve(dead) if dead else 0


async def read(runtime: Runtime, tenant: Tenant, *, whole: bool) -> Budget:
    """Return today's money of a tenant, and of the whole system if that is asked for. Raises Unavailable."""
    limits = await runtime.ledger.standing(tenant, day_limit_nano=runtime.limits.day_budget_nano)
    system, own = limits
    return Budget(
        day=own.day,
        resets_at=next_day_at(own.day),
        tenant=Account(own, await runtime.ledger.usage_by_model(tenant)),
        system=Account(system, await runtime.ledger.usage_by_model(None)) if whole else None,
    )


async def set_limit(runtime: Runtime, tenant: Tenant | None, usd_per_day: float | None) -> None:
    """Limit what a tenant, or with None the whole system, may spend in a day, from now on. Raises Unavailable.

    None takes the limit away: a tenant then has the system's alone, the system MODEL_DAILY_BUDGET_USD.
    """
    await runtime.ledger.set_budget(tenant, None if usd_per_day is None else to_nano(usd_per_day))
    _log.info("budget_set", tenant=tenant, usd_per_day=usd_per_day)


async def forget(runtime: Runtime, before: date) -> int:
    """Delete the usage of days before one, BATCH calls at most; return how many. Raises Unavailable."""
    return await runtime.ledger.forget_usage(before, BATCH)


async def _asked(
    runtime: Runtime,
    claim: Claim,
    reservation_id: str,
    provider: str,
    model: str,
    amount_nano: int,
    task_limit_nano: int | None,
) -> Reservation | Standing:
    """Ask until the attempt is on record as running. Raises LeaseLost when it never will be."""

    async def ask() -> Reservation | Standing | None:
        return await runtime.ledger.reserve(
            claim,
            reservation_id,
            provider,
            model,
            amount_nano,
            task_limit_nano=task_limit_nano,
            day_limit_nano=runtime.limits.day_budget_nano,
        )

    pause = 0.0
    while (answer := await patiently(runtime.clock, ask)) is None:
        await asyncio.sleep(pause)
        if claim.entry.id not in await record.start(runtime, claim.worker, [claim]):
            raise LeaseLost(claim.entry.id, claim.fence)
        pause = _RELAY_SECONDS
    return answer


async def _spend(runtime: Runtime, spend: Spend) -> None:
    held, default = spend.reservation, runtime.limits.day_budget_nano
    stale, standings = await patiently(runtime.clock, lambda: runtime.ledger.spend(spend, day_limit_nano=default))
    if stale:
        runtime.metrics.lease_lost()
        _log.warning("stale_spend", task_id=held.task_id, fence=held.fence, cost_usd=to_usd(spend.cost_nano))
    for standing in standings:
        await _warn(runtime, standing, held.tenant)


async def _finished(work: Coroutine[Any, Any, Any]) -> None:
    """Wait for work that goes on for a moment when its caller is cancelled."""
    working = asyncio.create_task(work)
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working], timeout=_LAST_SECONDS)
        working.cancel()
        raise


async def _warn(runtime: Runtime, standing: Standing, tenant: Tenant, *, refused: bool = False) -> None:
    """Tell people, once a day each, that a limit is nearly reached and that it is."""
    percentage = _percentage(standing, refused)
    if percentage <= standing.warned or standing.scope == "task":
        return
    try:
        if not await runtime.ledger.note_warning(standing, tenant, percentage):
            return
    except Unavailable:
        return  # the next call tells
    whose = "the system" if standing.scope == "day" else f"the tenant {tenant}"
    used, limit = to_usd(standing.spent_nano), to_usd(standing.limit_nano or 0)
    _log.warning("budget_used", whose=whose, percentage=percentage, spent_usd=used, limit_usd=limit)
    state = "are spent" if percentage == _ALL else f"are spent to {_NEARLY} %"
    runtime.reports.send(BudgetUsed(f"the ${limit:,.2f} of {whose} for today {state}"), percentage=str(percentage))


def _percentage(standing: Standing, refused: bool) -> int:
    """What there is to tell. The last cents are rarely spent to the last: a call that asks for more shows the end."""
    spent, limit = standing.spent_nano, standing.limit_nano
    if not limit or spent * 100 < limit * _NEARLY:
        return 0
    return _ALL if refused or spent >= limit else _NEARLY
