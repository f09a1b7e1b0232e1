"""Money of one type of a tenant's tasks: bound beside the tenant's own, counted always, and taken away again."""

import asyncpg

from orchestrator.domain.money import NANO, DayLimits, Reservation, Standing
from orchestrator.domain.profile import Profile
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.money import OTHER, ask, reserve, run, spend, sums
from tests.store.samples import TENANT


async def test_a_limit_binds_the_type_of_the_one_tenant_and_nobody_else(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    await ledger.set_profile(Profile(TENANT), DayLimits(10 * NANO, {"resize": 2 * NANO}))
    resize, draw, theirs = await run(ledger), await run(ledger, type="draw"), await run(ledger, tenant=OTHER)
    held = await reserve(ledger, resize, 2 * NANO)
    refused = await ask(ledger, resize, 1)
    assert isinstance(refused, Standing)
    assert (refused.scope, refused.tenant, refused.type, refused.reserved_nano) == (
        "type", TENANT, "resize", 2 * NANO,
    )  # fmt: skip
    error = refused.exceeded_by(NANO)
    assert "$2.00" in str(error)
    assert "aurea tenants set TENANT resize.usd_per_day=USD" in str(error)
    assert error.resets_at is not None
    assert [isinstance(await ask(ledger, each, 3 * NANO), Reservation) for each in (draw, theirs)] == [True, True]
    await ledger.unreserve([held.id])
    assert isinstance(await ask(ledger, resize, 2 * NANO), Reservation)
    tenants = await ask(ledger, draw, 6 * NANO)  # the tenant's own still binds all of its types
    assert isinstance(tenants, Standing)
    assert tenants.scope == "tenant"
    await sums(pool)


async def test_what_a_lost_attempt_held_is_its_types_again(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    await ledger.set_profile(Profile(TENANT), DayLimits(by_type={"resize": 2 * NANO}))
    await reserve(ledger, await run(ledger), 2 * NANO)
    await pool.execute("update orchestrator_tasks set fence = fence + 1")
    (standing,) = await ledger.standings_by_type(TENANT)
    assert (standing.type, standing.reserved_nano, standing.limit_nano) == ("resize", 0, 2 * NANO)
    assert await ledger.unreserve(await ledger.dead_reservations(10)) == 1
    assert isinstance(await ask(ledger, await run(ledger), 2 * NANO), Reservation)
    await sums(pool)


async def test_a_limit_set_at_noon_knows_the_morning_and_is_taken_away_whole(ledger: PostgresLedger) -> None:
    claim = await run(ledger)
    await spend(ledger, await reserve(ledger, claim, 3 * NANO), 3 * NANO)
    await ledger.set_profile(Profile(TENANT), DayLimits(by_type={"resize": 4 * NANO, "draw": NANO}))
    refused = await ask(ledger, claim, 2 * NANO)
    assert isinstance(refused, Standing)
    assert (refused.type, refused.spent_nano) == ("resize", 3 * NANO)
    shown = await ledger.standings_by_type(TENANT)
    assert [(each.type, each.spent_nano, each.limit_nano) for each in shown] == [
        ("resize", 3 * NANO, 4 * NANO),
        ("draw", 0, NANO),
    ]
    assert (await ledger.profile_of(TENANT))[1] == DayLimits(by_type={"resize": 4 * NANO, "draw": NANO})
    assert await ledger.standings_by_type(OTHER) == []
    await ledger.set_profile(Profile(TENANT), DayLimits())
    assert isinstance(await ask(ledger, claim, 2 * NANO), Reservation)
    assert (await ledger.profile_of(TENANT))[1] == DayLimits()


async def test_a_day_that_the_version_before_began_counts_types_from_the_next_call_on(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    claim = await run(ledger)
    await ask(ledger, claim, 0)
    await pool.execute("delete from orchestrator_type_spending")
    await spend(ledger, await reserve(ledger, claim, 2 * NANO), NANO)
    await reserve(ledger, claim, 3 * NANO)
    assert await sums(pool, f"{TENANT}/resize") == (NANO, 3 * NANO)


async def test_only_who_waits_for_the_types_money_is_woken_by_it(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    await ledger.set_profile(Profile(TENANT), DayLimits(9 * NANO, {"resize": NANO, "draw": NANO}))
    claims = [await run(ledger, type=kind) for kind in ("resize", "draw")] + [await run(ledger, tenant=OTHER)]
    waits = "update orchestrator_tasks set status = 'waiting', awaits_money = true, run_at = now() + interval '1 day'"
    await pool.execute(waits)
    await ledger.set_profile(Profile(TENANT), DayLimits(9 * NANO, {"resize": 2 * NANO, "draw": NANO}))
    assert await ledger.due(10) == [claims[0].entry.id]
    await ledger.set_profile(Profile(TENANT), DayLimits(10 * NANO, {"resize": 2 * NANO, "draw": NANO}))
    assert sorted(await ledger.due(10)) == [claim.entry.id for claim in claims[:2]]
