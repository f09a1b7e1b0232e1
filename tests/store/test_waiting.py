"""Locks and sleeps in the ledger: who decides, and when."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from orchestrator.domain.steps import Step, StepKind
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import claim_of, ending_of, new_task, waiting

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


async def test_a_lock_passes_from_a_holder_that_is_final_and_its_fence_grows(ledger: PostgresLedger) -> None:
    first, second = new_task(), new_task()
    await ledger.insert([first, second])
    taken = await ledger.take_lock(claim_of(first, 1), "deploy")
    again = await ledger.take_lock(claim_of(first, 2), "deploy")
    assert taken == again
    assert taken[0]
    assert await ledger.take_lock(claim_of(second, 3), "deploy") == (True, None)
    await ledger.settle([ending_of(claim_of(first, 2))])
    passed = await ledger.take_lock(claim_of(second, 3), "deploy")
    assert passed[1] is not None
    assert passed[1] > (taken[1] or 0)
    assert await ledger.take_lock(claim_of(first, 1), "deploy") == (False, None)


async def test_a_lock_is_not_taken_from_a_holder_that_is_younger_than_the_question(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    """The question waits for its own row; meanwhile the holder ends and a task made since takes the lock."""
    ends, asks, young = new_task(), new_task(), new_task()
    await ledger.insert([ends, asks])
    await ledger.take_lock(claim_of(ends, 1), "deploy")
    await ledger.settle([ending_of(claim_of(ends, 1))])
    async with pool.acquire() as busy:
        holding = busy.transaction()
        await holding.start()
        await busy.execute("select from orchestrator_tasks where id = $1::uuid for update", asks.id)
        asking = asyncio.create_task(ledger.take_lock(claim_of(asks, 2), "deploy"))
        await waiting(busy)
        await ledger.insert([young])
        assert (await ledger.take_lock(claim_of(young, 3), "deploy"))[1] is not None
        await holding.rollback()
    assert await asking == (True, None)


async def test_postgres_clock_decides_when_a_sleep_ends(ledger: PostgresLedger) -> None:
    """Whatever moment the worker's clock came to."""
    task = new_task()
    await ledger.insert([task])
    claim = claim_of(task, 1)
    asked = [
        Step("over", kind=StepKind.SLEEP, wake_at=LONG_AGO, seconds=3600.0),
        Step("short", kind=StepKind.SLEEP, wake_at=datetime.now(UTC) + timedelta(days=1), seconds=0.0),
    ]
    begun = await ledger.begin_steps(claim, asked)
    assert begun["over"].wake_at is not None
    assert timedelta(minutes=59) < begun["over"].wake_at - datetime.now(UTC) < timedelta(minutes=61)
    kept = await ledger.steps(task.id)
    assert (kept["over"].result, kept["short"].result) == (None, b"true")
