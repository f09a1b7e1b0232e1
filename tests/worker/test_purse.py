"""The purse of a worker: many calls at once cost a handful of statements, and each is judged as if it were alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from orchestrator.domain.errors import BudgetExceeded, NotConfigured
from orchestrator.domain.ids import DEFAULT_TENANT, WorkerId
from orchestrator.domain.money import NANO, DayLimits, Reservation, Spend
from orchestrator.domain.profile import Profile
from orchestrator.domain.task import Claim
from orchestrator.ledger import attempts, spending
from orchestrator.ledger.database import Database
from orchestrator.ledger.pool import NoPool
from orchestrator.ledger.postgres import PostgresLedger
from orchestrator.operations import purse as operation
from orchestrator.operations.purse import Purse
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.runtime import Runtime
from orchestrator.sdk import Message, ModelRequest
from orchestrator.telemetry.reports import Reports
from orchestrator.worker.recorder import Recorder
from orchestrator.worker.services import Services
from tests.purses import opened
from tests.store.samples import waiting
from tests.worker.conftest import House

WORKER = WorkerId("worker-1")
NAMES = {sql: name for statements in (spending._SQL, attempts._SQL) for name, sql in statements.items()}


class Counted(Database):
    """Counts what it sends by name."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self.sent: Counter[str] = Counter()

    async def _answer(self, asking: str, sql: str, arguments: tuple[Any, ...]) -> Any:
        self.sent[NAMES.get(sql, "other")] += 1
        return await super()._answer(asking, sql, arguments)


class Heard(Reports):
    def __init__(self) -> None:
        self.told: list[str] = []

    def send(self, error: BaseException, **tags: str) -> None:
        self.told.append(str(error))


@pytest.fixture
def counted(house: House, pool: asyncpg.Pool) -> Counted:
    house.runtime.ledger._database = Counted(pool)
    return house.runtime.ledger._database


@pytest.fixture
async def purse(house: House) -> AsyncIterator[Purse]:
    async with opened(house.runtime) as opening:
        yield opening


async def claims(house: House, number: int, *, on_record: bool = True) -> list[Claim]:
    """The attempts of so many tasks."""
    await house.intake.submit_many([TaskRequest(type="count")] * number, Origin(DEFAULT_TENANT))
    claimed = await house.runtime.queue.claim(WORKER, "default", number, 60_000)
    if on_record:
        await house.runtime.ledger.start(claimed)
    return list(claimed)


async def reserve(purse: Purse, claim: Claim, usd: float = 1, **given: Any) -> Reservation:
    return await purse.reserve(claim, "anthropic", "claude", int(usd * NANO), **given)


def call(held: Reservation, usd: float, step: str = "draft") -> Spend:
    return Spend(held, step, 100, 20, 0, 0, int(usd * NANO), {"input_mtok": 3}, ok=True)


async def reserved(pool: asyncpg.Pool) -> tuple[int, int]:
    """In all, by the system's counter and by the reservations."""
    counter = await pool.fetchval("select reserved_nano from orchestrator_spending where tenant = ''")
    return counter, await pool.fetchval("select coalesce(sum(amount_nano), 0)::bigint from orchestrator_reservations")


@pytest.mark.parametrize("scope", ["day", "tenant", "type", "task"])
async def test_two_hundred_at_once_take_what_there_is_in_a_handful_of_statements(
    house: House, purse: Purse, counted: Counted, pool: asyncpg.Pool, scope: str
) -> None:
    attempts = await claims(house, 1 if scope == "task" else 200)
    if scope == "tenant":
        await house.runtime.ledger.set_budget(DEFAULT_TENANT, 10 * NANO)
    if scope == "type":
        await house.runtime.ledger.set_profile(Profile(DEFAULT_TENANT), DayLimits(by_type={"count": 10 * NANO}))
    usd = 8.0 if scope == "day" else 3.0
    given = {"task_limit_nano": 10 * NANO} if scope == "task" else {}
    counted.sent.clear()
    asking = (reserve(purse, claim, usd, **given) for claim in (attempts * 200)[:200])
    answers = await asyncio.gather(*asking, return_exceptions=True)
    refused = [answer.scope for answer in answers if isinstance(answer, BudgetExceeded)]
    assert (refused, sum(isinstance(answer, Reservation) for answer in answers)) == ([scope] * 197, 3)
    assert await reserved(pool) == (3 * usd * NANO, 3 * usd * NANO)
    assert counted.sent.total() < 10


async def test_two_hundred_calls_are_spent_and_released_in_a_handful_of_statements(
    house: House, purse: Purse, counted: Counted, pool: asyncpg.Pool
) -> None:
    attempts = await claims(house, 200)
    held = await asyncio.gather(*(reserve(purse, claim, 0.1) for claim in attempts))
    counted.sent.clear()
    spent = asyncio.gather(*(purse.spend(call(each, 0.05)) for each in held[:150]))
    await asyncio.gather(spent, *(purse.release(each) for each in held[150:]))
    assert counted.sent.total() < 6
    assert await pool.fetchval("select spent_nano from orchestrator_spending where tenant = ''") == 150 * NANO // 20
    assert await reserved(pool) == (0, 0)


async def test_two_workers_share_the_last_of_the_day(house: House, purse: Purse, pool: asyncpg.Pool) -> None:
    attempts = await claims(house, 40)
    async with opened(house.runtime) as other:
        asking = (reserve((purse, other)[place % 2], claim, 0.9) for place, claim in enumerate(attempts))
        answers = await asyncio.gather(*asking, return_exceptions=True)
    assert sum(isinstance(answer, Reservation) for answer in answers) == 27  # of 25.00
    assert sum(isinstance(answer, BudgetExceeded) for answer in answers) == 13
    assert await reserved(pool) == (24_300_000_000, 24_300_000_000)


async def test_attempts_are_put_on_record_together_before_they_reserve(
    house: House, purse: Purse, counted: Counted, pool: asyncpg.Pool
) -> None:
    attempts = await claims(house, 200, on_record=False)
    recorder = Recorder(house.runtime, WORKER)
    recorder.start()
    for claim in attempts:
        recorder.watch(claim)
    services = Services(house.runtime, purse, recorder)
    request = ModelRequest(messages=(Message("user", "Hello."),))

    class Nobody:
        async def grow(self, text: str | None) -> None: ...

        async def note(self, text: str) -> None: ...

    calls = (services.generate(claim, "draft", request, Nobody()) for claim in attempts)
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in ended} == {NotConfigured}  # this worker has no model's key
    assert counted.sent["start"] <= 3
    counted.sent.clear()
    await asyncio.gather(*(reserve(purse, claim, 0.1) for claim in attempts))
    assert counted.sent["start"] == 0
    await recorder.stop()


async def test_what_was_granted_to_one_who_has_gone_is_given_back(
    house: House, purse: Purse, pool: asyncpg.Pool
) -> None:
    gone, stays = await claims(house, 2)
    await reserve(purse, stays, 0)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select from orchestrator_spending for update")
        asking = asyncio.create_task(reserve(purse, gone))
        await waiting(connection)
        behind = asyncio.create_task(reserve(purse, stays, 2))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    await behind
    await purse.stop()
    assert await reserved(pool) == (2 * NANO, 2 * NANO)


async def test_a_cancelled_caller_waits_a_moment_for_what_is_written(
    house: House, purse: Purse, pool: asyncpg.Pool
) -> None:
    held = await reserve(purse, (await claims(house, 1))[0])
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select from orchestrator_spending for update")
        paying = asyncio.create_task(purse.spend(call(held, 0.5)))
        await waiting(connection)
        paying.cancel()
        await asyncio.wait([paying], timeout=0.1)
        assert not paying.done()
    with pytest.raises(asyncio.CancelledError):
        await paying
    assert await pool.fetchval("select cost_nano from orchestrator_usage") == NANO // 2


async def test_a_call_that_cannot_be_stored_fails_alone(
    house: House, purse: Purse, counted: Counted, pool: asyncpg.Pool
) -> None:
    good, bad = [await reserve(purse, claim) for claim in await claims(house, 2)]
    calls = (purse.spend(call(bad, 0.5, "\0")), purse.spend(call(good, 0.5)))
    refused, paid = await asyncio.gather(*calls, return_exceptions=True)
    assert (type(refused), paid) == (asyncpg.CharacterNotInRepertoireError, None)
    assert counted.sent["spend"] == 3  # both at once, then each alone
    assert await pool.fetchval("select array_agg(id::text) from orchestrator_usage") == [good.id]


async def test_people_are_told_once_of_a_batch(house: House, counted: Counted) -> None:
    heard = Heard()
    attempts = await claims(house, 40)
    async with opened(replace(house.runtime, reports=heard)) as purse:
        answers = await asyncio.gather(*(reserve(purse, claim, 1) for claim in attempts), return_exceptions=True)
        held = [answer for answer in answers if isinstance(answer, Reservation)]
        await asyncio.gather(*(purse.spend(call(each, 0.9)) for each in held))
        again = await asyncio.gather(*(reserve(purse, claim, 3) for claim in attempts), return_exceptions=True)
    assert (len(held), {type(answer) for answer in again}) == (25, {BudgetExceeded})
    assert counted.sent["note_warning"] == len(heard.told) == 2
    assert ["to 80 %" in told for told in heard.told] == [True, False]


async def test_people_are_told_of_each_type_in_a_batch(house: House) -> None:
    heard = Heard()
    limits = DayLimits(by_type={"count": NANO, "hello": NANO})
    await house.runtime.ledger.set_profile(Profile(DEFAULT_TENANT), limits)
    requests = [TaskRequest(type=kind) for kind in limits.by_type]
    await house.intake.submit_many(requests, Origin(DEFAULT_TENANT))
    attempts = await house.runtime.queue.claim(WORKER, "default", 2, 60_000)
    await house.runtime.ledger.start(attempts)
    async with opened(replace(house.runtime, reports=heard)) as purse:
        held = await asyncio.gather(*(reserve(purse, claim) for claim in attempts))
        await asyncio.gather(*(purse.spend(call(each, 0.9)) for each in held))
    assert [f"type {kind} for today" in " ".join(heard.told) for kind in limits.by_type] == [True, True]


async def test_a_purse_is_closed_in_time_while_postgres_is_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "_LAST_SECONDS", 0.05)
    (claim,) = await claims(house, 1)
    away: Runtime = replace(house.runtime, ledger=PostgresLedger(NoPool()))
    async with asyncio.timeout(5), opened(away) as purse:
        asking = asyncio.create_task(reserve(purse, claim))
        await asyncio.sleep(0)
        asking.cancel()
    assert asking.cancelled()
