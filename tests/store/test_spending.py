"""Money on locked rows: no limit is overshot, nothing is counted twice, and what a vanished attempt held is free."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orchestrator.domain.money import NANO, DayLimits, Reservation, Standing, to_nano, to_usd
from orchestrator.domain.profile import Profile
from orchestrator.domain.task import NewTask
from orchestrator.ledger.database import UNHURRIED_SECONDS, Database
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.money import DEFAULT, OTHER, ask, cost, reserve, run, spend, sums
from tests.store.samples import CLOCK, FLAKY, TENANT, claim_of, crashed, ending_of, failed, new_task, waiting


@pytest.mark.parametrize("scope", ["day", "tenant", "type", "task"])
async def test_two_hundred_at_once_take_what_there_is_and_no_cent_more(
    ledger: PostgresLedger, pool: asyncpg.Pool, scope: str
) -> None:
    ledger._database = Database(pool, UNHURRIED_SECONDS)  # how soon they are answered is not what is asked here
    claims = [await run(ledger) for _ in range(1 if scope == "task" else 20)] * 200
    if scope == "tenant":
        await ledger.set_budget(TENANT, 10 * NANO)
    if scope == "type":
        await ledger.set_profile(Profile(TENANT), DayLimits(by_type={"resize": 10 * NANO}))
    limits = {"day": 10 * NANO if scope == "day" else DEFAULT, "task": 10 * NANO if scope == "task" else None}
    await ask(ledger, claims[0], 0)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select from orchestrator_spending where tenant = '' for update")
        asking = asyncio.gather(*(ask(ledger, claim, 3 * NANO, **limits) for claim in claims[:200]))
        await waiting(connection, 5)  # all of them have begun before the first is granted
    answers = await asking
    granted = [answer for answer in answers if isinstance(answer, Reservation)]
    refused = [answer for answer in answers if isinstance(answer, Standing)]
    assert (len(granted), len(refused)) == (3, 197)
    assert {(standing.scope, standing.limit_nano) for standing in refused} == {(scope, 10 * NANO)}
    assert await sums(pool) == await sums(pool, TENANT) == await sums(pool, f"{TENANT}/resize") == (0, 9 * NANO)


async def test_the_sums_are_right_after_everything_at_once(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    claims = [await run(ledger, tenant=TENANT if number % 2 else OTHER) for number in range(8)]

    async def work(number: int) -> None:
        held = await reserve(ledger, claims[number % 8], to_nano(0.1))
        match number % 3:
            case 0:
                await asyncio.gather(spend(ledger, held, to_nano(0.05)), spend(ledger, held, to_nano(0.05)))
            case 1:
                await asyncio.gather(ledger.unreserve([held.id]), ledger.unreserve([held.id]))
            case _:
                await asyncio.gather(ledger.unreserve([held.id]), spend(ledger, held, to_nano(0.05)))

    await asyncio.gather(*(work(number) for number in range(60)))
    assert await sums(pool) == (to_nano(2.0), 0)
    assert (await sums(pool, OTHER))[0] + (await sums(pool, TENANT))[0] == to_nano(2.0)


async def test_a_refusal_carries_the_figures(ledger: PostgresLedger) -> None:
    claim = await run(ledger)
    await spend(ledger, await reserve(ledger, claim, 4 * NANO), 3 * NANO)
    await reserve(ledger, claim, 2 * NANO)
    refused = await ask(ledger, claim, to_nano(0.5), day=5 * NANO)
    assert isinstance(refused, Standing)
    error = refused.exceeded_by(to_nano(0.5))
    assert (error.scope, error.limit_usd, error.spent_usd, error.reserved_usd, error.asked_usd) == ("day", 5, 3, 2, 0.5)
    assert error.resets_at == datetime.combine(refused.day + timedelta(days=1), datetime.min.time(), UTC)
    assert all(figure in str(error) for figure in ("$5.00", "$3.00", "$2.00", "$0.50"))


async def test_what_is_exactly_left_is_granted(ledger: PostgresLedger) -> None:
    assert isinstance(await ask(ledger, await run(ledger), 5 * NANO, day=5 * NANO), Reservation)


async def test_a_task_limit_counts_its_whole_life_and_is_told_first(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    claim = await run(ledger)
    await spend(ledger, await reserve(ledger, claim), NANO)
    await pool.execute("update orchestrator_spending set day = day - 1")
    await pool.execute("update orchestrator_usage set day = day - 1")
    assert isinstance(await ask(ledger, claim, NANO, task=2 * NANO), Reservation)
    refused = await ask(ledger, claim, 1, task=2 * NANO, day=0)
    assert isinstance(refused, Standing)
    assert (refused.scope, refused.resets_at, refused.spent_nano, refused.reserved_nano) == ("task", None, NANO, NANO)


@pytest.mark.parametrize("amount", [2 * NANO, 20 * NANO])
async def test_the_same_reservation_twice_is_one(ledger: PostgresLedger, pool: asyncpg.Pool, amount: int) -> None:
    claim = await run(ledger)
    first = await reserve(ledger, claim, amount)
    assert await ask(ledger, claim, amount, again=first.id) == first
    assert await sums(pool) == (0, amount)


async def test_a_reservation_whose_first_try_is_under_way_is_made_once(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    claim = await run(ledger)
    tried = (await reserve(ledger, claim, 0)).id
    await ledger.unreserve([tried])
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select from orchestrator_spending for update")
        both = asyncio.gather(*(ask(ledger, claim, NANO, again=tried) for _ in range(2)))
        await waiting(connection, 2)
    first, again = await both
    assert isinstance(first, Reservation)
    assert first == again
    assert await sums(pool) == (0, NANO)


@pytest.mark.parametrize("end", [ending_of, lambda claim: ending_of(claim, failed(FLAKY))], ids=["final", "retrying"])
async def test_only_the_attempt_on_record_may_reserve(ledger: PostgresLedger, end: Any) -> None:
    claim = await run(ledger)
    newer = claim_of(NewTask(claim.entry.id, TENANT, "resize", b"{}", b"", CLOCK.now(), CLOCK.traceparent()), 6, 2)
    assert await ask(ledger, newer, NANO) is None
    assert await ledger.settle([end(claim)]) == [True]
    assert await ask(ledger, claim, NANO) is None
    await ledger.start([newer])
    assert await ask(ledger, claim, NANO) is None


async def test_what_a_vanished_attempt_held_is_free_with_its_lease(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    task = new_task()
    await ledger.insert([task])
    lost = claim_of(task, 5)
    await ledger.start([lost])
    held, live = await reserve(ledger, lost), await reserve(ledger, await run(ledger), 2 * NANO)
    assert await ledger.dead_reservations(10) == []
    await ledger.settle([crashed(task, 9, lost=5)])
    assert (await ledger.standing(None, day_limit_nano=DEFAULT)).reserved_nano == 2 * NANO
    assert await ledger.dead_reservations(10) == [held.id]
    await ledger.start([claim_of(task, 10, 2)])
    assert await ledger.dead_reservations(10) == [held.id]
    assert await ledger.unreserve([held.id, live.id, held.id]) == 2
    assert await sums(pool) == (0, 0)


async def test_what_a_pruned_task_held_is_free(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    held = await reserve(ledger, await run(ledger))
    await pool.execute("delete from orchestrator_tasks")
    assert await ledger.unreserve(await ledger.dead_reservations(10)) == 1
    stale, _ = await spend(ledger, held, NANO)
    assert stale
    assert await sums(pool) == (NANO, 0)


async def test_a_call_is_kept_whole_and_once(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    claim = await run(ledger)
    held = await reserve(ledger, claim, 2 * NANO)
    stale, standings = await spend(ledger, held, NANO)
    assert not stale
    assert [(each.scope, each.spent_nano, each.limit_nano) for each in standings] == [
        ("day", NANO, DEFAULT),
        ("tenant", NANO, None),
        ("type", NANO, None),
    ]
    assert await spend(ledger, held, NANO) == (False, [])
    kept = dict(await pool.fetchrow("select * from orchestrator_usage"))
    assert kept.pop("at") <= CLOCK.now() + timedelta(seconds=1)
    assert {name: str(value) for name, value in kept.items()} == {
        "id": held.id, "task_id": claim.entry.id, "tenant": "acme", "type": "resize", "step": "draft",
        "provider": "anthropic", "model": "claude", "input_tokens": "100", "output_tokens": "20", "cached_tokens": "10",
        "cache_write_tokens": "5", "price": '{"input_mtok": 3.0}', "cost_nano": str(NANO), "fence": "5", "ok": "True",
        "stale": "False", "day": str(held.day),
    }  # fmt: skip
    assert await cost(pool, claim) == 1.0
    assert await sums(pool) == (NANO, 0)


async def test_money_that_a_stale_attempt_spent_is_gone_and_not_its_tasks_cost(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    task = new_task()
    await ledger.insert([task])
    await ledger.start([claim_of(task, 5)])
    held = await reserve(ledger, claim_of(task, 5))
    await ledger.start([claim_of(task, 6, 2)])
    before = await ledger.read(TENANT, task.id)
    assert (await spend(ledger, held, NANO))[0] is True
    assert await ledger.read(TENANT, task.id) == before
    assert await pool.fetchval("select stale from orchestrator_usage") is True
    assert await sums(pool) == (NANO, 0)


async def test_cost_goes_up_to_those_who_called_and_no_further(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    top = await run(ledger)
    middle = await run(ledger, parent_id=top.entry.id)  # submitted, not called
    child = await run(ledger, parent_id=middle.entry.id, called=True)
    leaf = await run(ledger, parent_id=child.entry.id, called=True)
    await spend(ledger, await reserve(ledger, leaf), to_nano(0.1))
    await spend(ledger, await reserve(ledger, child), to_nano(0.2))
    assert [await cost(pool, claim) for claim in (top, middle, child, leaf)] == [0.0, 0.3, 0.3, 0.1]
    own = await pool.fetch("select spent_nano from orchestrator_tasks order by id")
    assert [to_usd(row["spent_nano"]) for row in own] == [0.0, 0.0, 0.2, 0.1]  # what a task's own limit counts


async def test_a_call_counts_on_the_day_of_its_reservation(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    claim = await run(ledger)
    held = await reserve(ledger, claim)
    for table in ("spending", "type_spending", "reservations"):
        await pool.execute(f"update orchestrator_{table} set day = day - 1")
    yesterday = Reservation(**{name: getattr(held, name) for name in held.__slots__} | {"day": held.day - timedelta(1)})
    await reserve(ledger, claim, 2 * NANO)
    await spend(ledger, yesterday, NANO)
    assert await sums(pool) == (0, 2 * NANO)
    assert await pool.fetchval("select spent_nano from orchestrator_spending where day < $1 limit 1", held.day) == NANO
    assert await ledger.usage_by_model(None) == []


async def test_a_call_and_the_ending_of_its_callers_cannot_deadlock(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    parent = await run(ledger)
    child = await run(ledger, parent_id=parent.entry.id, called=True)
    held = await reserve(ledger, child)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select from orchestrator_tasks where id = $1 for update", child.entry.id)
        spending = asyncio.create_task(spend(ledger, held, NANO))
        await waiting(connection)
        settling = asyncio.create_task(ledger.settle([ending_of(child), ending_of(parent)]))
        await waiting(connection, 2)
    assert await settling == [True, True]
    assert (await spending)[0] is False
    assert [await cost(pool, claim) for claim in (parent, child)] == [1.0, 1.0]


async def test_a_limit_that_was_set_stands_before_the_default(ledger: PostgresLedger) -> None:
    await ledger.set_budget(None, 2 * NANO)
    await ledger.set_budget(TENANT, 3 * NANO)
    limits = [await ledger.standing(whose, day_limit_nano=DEFAULT) for whose in (None, TENANT)]
    assert [limit.limit_nano for limit in limits] == [2 * NANO, 3 * NANO]
    assert isinstance(await ask(ledger, await run(ledger), 3 * NANO), Standing)
    await ledger.set_budget(None, None)
    assert isinstance(await ask(ledger, await run(ledger), 3 * NANO), Reservation)
    assert isinstance(await ask(ledger, await run(ledger, tenant=OTHER), 3 * NANO), Reservation)


async def test_people_are_told_once_until_the_limit_changes(ledger: PostgresLedger) -> None:
    _, (day, tenant, kind) = await spend(ledger, await reserve(ledger, await run(ledger)), NANO)
    assert [await ledger.note_warning(day, step) for step in (80, 80, 100, 100, 80)] == [True, False] * 2 + [False]
    assert await ledger.note_warning(tenant, 100)
    assert [await ledger.note_warning(kind, step) for step in (80, 80, 100)] == [True, False, True]
    await ledger.set_budget(None, 5 * NANO)
    assert [await ledger.note_warning(each, 80) for each in (day, tenant, kind)] == [True, False, False]
    await ledger.set_profile(Profile(TENANT), DayLimits(by_type={"resize": 5 * NANO}))
    assert [await ledger.note_warning(each, 80) for each in (tenant, kind)] == [False, True]


async def test_old_usage_is_forgotten_and_todays_is_not(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    claim = await run(ledger)
    for _ in range(3):
        await spend(ledger, await reserve(ledger, claim), NANO)
    await pool.execute("update orchestrator_usage set day = day - 31")
    for counters in ("spending", "type_spending"):
        await pool.execute(f"update orchestrator_{counters} set day = day - 31")
    held = await reserve(ledger, claim)
    await spend(ledger, held, NANO)
    assert await ledger.forget_usage(held.day - timedelta(days=30), 2) == 2
    assert await ledger.forget_usage(held.day - timedelta(days=30), 2) == 1
    assert await ledger.forget_usage(held.day - timedelta(days=30), 2) == 0
    assert await pool.fetchval("select count(*) from orchestrator_spending") == 2
    assert await pool.fetchval("select count(*) from orchestrator_type_spending") == 1
    assert [use.cost_nano for use in await ledger.usage_by_model(TENANT)] == [NANO]
