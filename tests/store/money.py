"""Attempts that reserve and spend, and the counters compared with what they count."""

from datetime import UTC, datetime
from typing import Any

import asyncpg

from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import NANO, Ask, Reservation, Spend, Standing
from orchestrator.domain.task import Claim
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import CLOCK, claim_of, new_task

DEFAULT = 25 * NANO
OTHER = Tenant("other")


async def run(ledger: PostgresLedger, fence: int = 5, **given: Any) -> Claim:
    """A task whose attempt is on record as running."""
    task = new_task(**given)
    await ledger.insert([task])
    claim = claim_of(task, fence)
    assert await ledger.start([claim]) == {task.id}
    return claim


async def ask(
    ledger: PostgresLedger, claim: Claim, amount: int, *, task: int | None = None, day: int = DEFAULT, again: str = ""
) -> Reservation | Standing | None:
    (answer,) = await ledger.reserve([wish(claim, amount, task, again)], day_limit_nano=day)
    return answer


def wish(claim: Claim, amount: int, task: int | None = None, again: str = "") -> Ask:
    entry = claim.entry
    whose = (entry.id, entry.tenant, entry.type, claim.fence)
    return Ask(again or str(CLOCK.task_id()), *whose, "anthropic", "claude", amount, task)


async def reserve(ledger: PostgresLedger, claim: Claim, amount: int = NANO) -> Reservation:
    granted = await ask(ledger, claim, amount)
    assert isinstance(granted, Reservation)
    return granted


def call(reservation: Reservation, cost: int, **given: Any) -> Spend:
    fields = {"step": "draft", "input_tokens": 100, "output_tokens": 20, "cached_tokens": 10, "cache_write_tokens": 5}
    return Spend(reservation, cost_nano=cost, price={"input_mtok": 3.0}, ok=True, **fields | given)


async def spend(
    ledger: PostgresLedger, reservation: Reservation, cost: int, **given: Any
) -> tuple[bool, list[Standing]]:
    stale, standings = await ledger.spend([call(reservation, cost, **given)], day_limit_nano=DEFAULT)
    return reservation.id in stale, standings


async def sums(pool: asyncpg.Pool, tenant: str = "") -> tuple[int, int]:
    """What the counters of today say was spent and is reserved, once they were compared with the calls they count.

    Of the whole system, of a tenant, or of a type of its tasks: `acme/resize`.
    """
    by_row = """
      select s.tenant, s.day, s.spent_nano, s.reserved_nano,
        (select coalesce(sum(cost_nano), 0) from orchestrator_usage where day = s.day and s.tenant in ('', tenant)),
        (select coalesce(sum(amount_nano), 0) from orchestrator_reservations
          where day = s.day and s.tenant in ('', tenant))
      from orchestrator_spending s
      union all
      select s.tenant || '/' || s.type, s.day, s.spent_nano, s.reserved_nano,
        (select coalesce(sum(cost_nano), 0) from orchestrator_usage
          where day = s.day and (tenant, type) = (s.tenant, s.type)),
        (select coalesce(sum(amount_nano), 0) from orchestrator_reservations
          where day = s.day and (tenant, type) = (s.tenant, s.type))
      from orchestrator_type_spending s
      union all
      select id::text, null, spent_nano, reserved_nano,
        (select coalesce(sum(cost_nano), 0) from orchestrator_usage where task_id = t.id),
        (select coalesce(sum(amount_nano), 0) from orchestrator_reservations where task_id = t.id)
      from orchestrator_tasks t"""
    found = {}
    for name, day, spent, reserved, of_usage, of_reservations in await pool.fetch(by_row):
        assert (spent, reserved) == (of_usage, of_reservations), name
        if day in (None, datetime.now(UTC).date()):
            found[name] = (spent, reserved)
    return found.get(tenant, (0, 0))


async def cost(pool: asyncpg.Pool, claim: Claim) -> float:
    usd: float = await pool.fetchval("select cost_usd from orchestrator_tasks where id = $1", claim.entry.id)
    return usd
