"""Many calls in one statement: as exact as one after the other, and in one order of locks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import NANO, Ask, DayLimits, Reservation, Standing, to_nano
from orchestrator.domain.profile import Profile
from orchestrator.ledger.database import Database
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.money import DEFAULT, OTHER, call, cost, reserve, run, sums, wish
from tests.store.samples import TENANT, claim_of, new_task, waiting

Answer = Reservation | Standing | None
PATIENCE_SECONDS = 30.0
"""What is tried here is exactness: on a busy machine a large batch, or one that waits for a lock, may take its time."""


class Statements(Database):
    """Counts what it sends."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool, PATIENCE_SECONDS)
        self.sent = 0

    async def _answer(self, *asked: Any) -> Any:
        self.sent += 1
        return await super()._answer(*asked)


def patient(pool: asyncpg.Pool) -> PostgresLedger:
    opened = PostgresLedger(pool)
    opened._database = Database(pool, PATIENCE_SECONDS)
    return opened


@pytest.fixture
def ledger(pool: asyncpg.Pool) -> PostgresLedger:
    return patient(pool)


def words(answers: list[Answer]) -> list[str]:
    """For each answer: granted, the scope that refused it, or none."""
    told = {Reservation: lambda _: "granted", Standing: lambda refused: refused.scope, type(None): lambda _: "none"}
    return [told[type(answer)](answer) for answer in answers]


@pytest.mark.parametrize("scope", ["day", "tenant", "type", "task"])
async def test_two_hundred_in_a_batch_take_what_there_is_in_a_handful_of_statements(
    ledger: PostgresLedger, pool: asyncpg.Pool, scope: str
) -> None:
    claims = [await run(ledger) for _ in range(1 if scope == "task" else 20)] * 200
    if scope == "tenant":
        await ledger.set_budget(TENANT, 10 * NANO)
    if scope == "type":
        await ledger.set_profile(Profile(TENANT), DayLimits(by_type={"resize": 10 * NANO}))
    task_limit = 10 * NANO if scope == "task" else None
    ledger._database = counted = Statements(pool)
    asks = [wish(claim, 3 * NANO, task_limit) for claim in claims[:200]]
    answers = await ledger.reserve(asks, day_limit_nano=10 * NANO if scope == "day" else DEFAULT)
    assert Counter(words(answers)) == {"granted": 3, scope: 197}
    assert counted.sent <= 3  # the first of the day opens it
    refused = [answer for answer in answers if isinstance(answer, Standing)]
    assert {(each.reserved_nano, each.limit_nano) for each in refused} == {(9 * NANO, 10 * NANO)}
    assert await sums(pool) == await sums(pool, TENANT) == (0, 9 * NANO)


async def test_a_stale_one_and_a_dear_one_keep_nothing_from_the_others(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    await ledger.set_budget(OTHER, NANO)
    fine, newer = await run(ledger), await run(ledger, fence=6)
    stale = replace(newer, fence=5)
    dear = await run(ledger, tenant=OTHER)
    asks = [wish(stale, 20 * NANO), wish(dear, 2 * NANO), wish(fine, NANO), wish(newer, 2 * NANO, 1), wish(fine, NANO)]
    assert words(await ledger.reserve(asks, day_limit_nano=DEFAULT)) == ["none", "tenant", "granted", "task", "granted"]
    assert await sums(pool) == (0, 2 * NANO)
    assert await sums(pool, OTHER) == (0, 0)


async def test_tenants_and_tasks_with_limits_of_their_own_take_none_of_each_others(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    for tenant in (TENANT, OTHER):
        await ledger.set_budget(tenant, 10 * NANO)
    claims = [await run(ledger, tenant=tenant) for tenant in (TENANT, OTHER) * 2]
    ledger._database = counted = Statements(pool)
    answers = await ledger.reserve([wish(claim, 5 * NANO, 5 * NANO) for claim in claims], day_limit_nano=20 * NANO)
    assert (words(answers), counted.sent) == (["granted"] * 4, 3)  # asked, opened the day of all, asked again


async def test_who_is_refused_takes_no_room_from_who_comes_behind(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    claims = [await run(ledger) for _ in range(5)]
    amounts = [20 * NANO, 4 * NANO, 7 * NANO, 6 * NANO, 2 * NANO]
    answers = await ledger.reserve(
        [wish(claim, amount) for claim, amount in zip(claims, amounts, strict=True)], day_limit_nano=10 * NANO
    )
    assert words(answers) == ["day", "granted", "day", "granted", "day"]
    assert [answer.reserved_nano for answer in answers if isinstance(answer, Standing)] == [0, 4 * NANO, 10 * NANO]
    assert await sums(pool) == (0, 10 * NANO)


@pytest.mark.parametrize("seed", range(8))
async def test_whoever_is_refused_does_not_fit_beside_those_who_were_not(
    ledger: PostgresLedger, pool: asyncpg.Pool, seed: int
) -> None:
    random = Random(seed)
    tenants = [TENANT, OTHER, Tenant("third")]
    kinds = ("resize", "draw")
    claims = [await run(ledger, tenant=tenants[number % 3], type=kinds[number % 2]) for number in range(12)]
    limits: dict[str, int] = {"": 60, TENANT: 30, OTHER: 25, f"{TENANT}/draw": 12, f"{OTHER}/resize": 15} | {
        claim.entry.id: random.randint(5, 30) for claim in claims
    }
    await ledger.set_profile(Profile(TENANT), DayLimits(30, {"draw": 12}))
    await ledger.set_profile(Profile(OTHER), DayLimits(25, {"resize": 15}))
    taken: Counter[str] = Counter()
    for _ in range(3):
        asking = [random.choice(claims) for _ in range(12)]
        asks = [wish(claim, random.randint(0, 12), limits[claim.entry.id]) for claim in asking]
        answers = await ledger.reserve(asks, day_limit_nano=60)
        granted = [ask for ask, word in zip(asks, words(answers), strict=True) if word == "granted"]
        for ask in granted:
            taken.update(dict.fromkeys(scopes(ask), ask.amount_nano))
        assert all(taken[scope] <= limit for scope, limit in limits.items())
        for ask, word in zip(asks, words(answers), strict=True):
            missing = [scope for scope in scopes(ask) if taken[scope] + ask.amount_nano > limits.get(scope, 1000)]
            assert word == "granted" or missing, (ask, word)
    assert await sums(pool) == (0, taken[""])
    for tenant in tenants:
        assert [(await sums(pool, whose))[1] for whose in (tenant, f"{tenant}/draw")] == [
            taken[tenant], taken[f"{tenant}/draw"],
        ]  # fmt: skip


def scopes(ask: Ask) -> tuple[str, str, str, str]:
    return "", ask.tenant, f"{ask.tenant}/{ask.type}", ask.task_id


async def test_a_batch_that_is_told_again_with_more_in_it_counts_what_is_new(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    claims = [await run(ledger) for _ in range(3)]
    asks = [wish(claim, 10 * NANO) for claim in claims]
    first = await ledger.reserve([*asks[:2], asks[0]], day_limit_nano=DEFAULT)
    assert (words(first), first[0]) == (["granted"] * 3, first[2])
    assert words(await ledger.reserve(asks, day_limit_nano=DEFAULT)) == ["granted", "granted", "day"]
    assert await sums(pool) == (0, 20 * NANO)
    ledger._database = counted = Statements(pool)
    with_more = await ledger.reserve([*asks[:2], wish(claims[2], 0)], day_limit_nano=20 * NANO)
    assert (words(with_more), counted.sent) == (["granted"] * 3, 1)
    held = [answer for answer in first[:2] if isinstance(answer, Reservation)]
    third = await reserve(ledger, claims[2], 5 * NANO)
    calls = [call(each, NANO) for each in (*held, held[0])]
    for _ in range(2):
        await ledger.spend([*calls, call(third, NANO)], day_limit_nano=DEFAULT)
        assert await sums(pool) == (3 * NANO, 0)
    assert [await cost(pool, claim) for claim in claims] == [1.0, 1.0, 1.0]


async def test_what_children_and_parents_spend_in_a_batch_goes_up_the_line_once(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    top = await run(ledger)
    middle = await run(ledger, parent_id=top.entry.id, called=True)
    leaves = [await run(ledger, parent_id=middle.entry.id, called=True) for _ in range(2)]
    submitted = await run(ledger, parent_id=middle.entry.id)
    line = [leaves[0], submitted, top, leaves[1], middle, leaves[0]]
    held = [await reserve(ledger, claim) for claim in line]
    amounts = [to_nano(usd) for usd in (0.1, 0.02, 0.4, 0.003, 0.2, 0.05)]
    calls = [call(reservation, amount) for reservation, amount in zip(held, amounts, strict=True)]
    stale, standings = await ledger.spend(calls, day_limit_nano=DEFAULT)
    assert (stale, [each.spent_nano for each in standings]) == (set(), [sum(amounts)] * 3)
    costs = [await cost(pool, claim) for claim in (top, middle, *leaves, submitted)]
    assert costs == [0.753, 0.353, 0.15, 0.003, 0.02]
    assert await sums(pool) == (sum(amounts), 0)


async def test_a_stale_one_among_others_is_told_apart(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    parent, task = await run(ledger), new_task()
    child = await run(ledger, parent_id=parent.entry.id, called=True)
    await ledger.insert([task])
    await ledger.start([claim_of(task, 5)])
    lost, fine, released = [await reserve(ledger, claim) for claim in (claim_of(task, 5), child, child)]
    await ledger.start([claim_of(task, 6, 2)])
    again = await reserve(ledger, claim_of(task, 6, 2))
    await ledger.unreserve([released.id])
    calls = [call(each, NANO) for each in (lost, fine, released, again)]
    stale, _ = await ledger.spend(calls, day_limit_nano=DEFAULT)
    assert stale == {lost.id}
    assert [await cost(pool, claim) for claim in (parent, child, claim_of(task, 6))] == [2.0, 2.0, 1.0]
    assert await pool.fetchval("select count(*) from orchestrator_usage where stale") == 1
    assert await sums(pool) == (4 * NANO, 0)


async def test_calls_of_two_days_and_tenants_count_each_where_it_belongs(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    claims = [await run(ledger, tenant=tenant) for tenant in (TENANT, OTHER)]
    old = [await reserve(ledger, claim, 2 * NANO) for claim in claims]
    for table in ("spending", "type_spending", "reservations"):
        await pool.execute(f"update orchestrator_{table} set day = day - 1")
    today = [await reserve(ledger, claim, 3 * NANO) for claim in claims]
    yesterday = [replace(each, day=each.day - timedelta(1)) for each in old]
    _, standings = await ledger.spend([call(each, NANO) for each in (*today, *yesterday)], day_limit_nano=DEFAULT)
    told = {(each.tenant, each.day): (each.spent_nano, each.reserved_nano) for each in standings}
    days = {each.day for each in (*today, *yesterday)}
    assert told == {
        (whose, day): (NANO * (2 if whose is None else 1), 0) for whose in (None, TENANT, OTHER) for day in days
    }
    assert await sums(pool) == (2 * NANO, 0)


Act = Callable[[PostgresLedger, list[Reservation]], Any]


async def _reserve(ledger: PostgresLedger, held: list[Reservation]) -> None:
    asks = [wish(claim_of(replace(new_task(), id=each.task_id), 5), NANO) for each in held]
    assert words(await ledger.reserve(asks, day_limit_nano=DEFAULT)) == ["granted"] * len(held)


async def _spend(ledger: PostgresLedger, held: list[Reservation]) -> None:
    assert (await ledger.spend([call(each, 1) for each in held], day_limit_nano=DEFAULT))[0] == set()


async def _release(ledger: PostgresLedger, held: list[Reservation]) -> None:
    assert await ledger.unreserve([each.id for each in held]) == len(held)


@pytest.fixture(params=["as planned", "read along the indexes, as a large table is"])
async def planned(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[PostgresLedger]:
    off = dict.fromkeys(("enable_seqscan", "enable_sort", "enable_bitmapscan"), "off")
    settings = {} if request.param == "as planned" else off
    async with asyncpg.create_pool(database_url, min_size=2, max_size=2, server_settings=settings) as opened:
        yield patient(opened)


@pytest.mark.parametrize("theirs", [_reserve, _spend, _release])
@pytest.mark.parametrize("mine", [_reserve, _spend])
async def test_batches_of_two_workers_wait_for_each_other_and_do_not_deadlock(
    planned: PostgresLedger, ledger: PostgresLedger, pool: asyncpg.Pool, mine: Act, theirs: Act
) -> None:
    claims = [await run(ledger) for _ in range(3)]
    held = [[await reserve(ledger, claim, 0) for claim in claims] for _ in range(2)]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select from orchestrator_tasks where id = $1 for update", claims[1].entry.id)
        both = asyncio.gather(mine(planned, held[0]), theirs(planned, held[1][::-1]))
        await waiting(connection, 2)
        # Whoever waits for a task holds no counter: all others could spend meanwhile.
        for counters in ("spending", "type_spending"):
            await connection.execute(f"select from orchestrator_{counters} for update nowait")
    await both
    await sums(pool)
