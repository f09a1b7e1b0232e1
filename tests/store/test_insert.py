"""Submission: one key, one task, however often and from wherever it is asked for."""

import asyncio
from datetime import timedelta

import asyncpg

from orchestrator.domain.states import State
from orchestrator.ledger.postgres import Existing, Inserted, PostgresLedger
from orchestrator.ledger.statements import load
from orchestrator.ledger.submission import _columns
from tests.store.samples import CLOCK, DONE, TENANT, claim_of, ending_of, new_task, waiting

A_MINUTE = timedelta(minutes=1)


async def test_a_stored_task_reads_back_as_it_was_given(ledger: PostgresLedger) -> None:
    given = new_task(
        payload='{"text": "snøwman ☃", "n": 1.0, "n2": 12345678901234567890, "nul": "\\u0000"}'.encode(),
        queue="slow", priority=2, max_retries=3, timeout_seconds=1.5, idempotency_key="k", tags={"team": "docs"},
        parent_id=CLOCK.task_id(), run_at=CLOCK.now() + A_MINUTE, expires_at=CLOCK.now() + 2 * A_MINUTE,
    )  # fmt: skip
    assert await ledger.insert([given]) == [Inserted()]
    task = await ledger.read(TENANT, given.id)
    assert task is not None
    names = (
        "id", "tenant", "type", "queue", "priority", "max_retries", "timeout_seconds", "idempotency_key", "tags",
        "parent_id", "run_at", "expires_at", "created_at", "traceparent",
    )  # fmt: skip
    assert [getattr(task, name) for name in names] == [getattr(given, name) for name in names]
    assert task.payload == {"text": "snøwman ☃", "n": 1.0, "n2": 12345678901234567890, "nul": "\0"}
    assert (task.status, task.attempt, task.crashes, task.fence) == (State.SCHEDULED, 0, 0, 0)
    assert (task.result, task.error, task.progress, task.worker_id, task.started_at) == (None,) * 5


async def test_a_hundred_simultaneous_requests_with_one_key_store_one_task(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    tasks = [new_task(idempotency_key="same") for _ in range(100)]
    answers = [answer for [answer] in await asyncio.gather(*[ledger.insert([task]) for task in tasks])]
    stored = [task for task, answer in zip(tasks, answers, strict=True) if isinstance(answer, Inserted)]
    assert len(stored) == 1
    assert set(answers) == {Inserted(), Existing(stored[0].id, stored[0].fingerprint)}
    assert await pool.fetchval("select count(*) from orchestrator_tasks") == 1


async def test_batches_with_the_same_keys_in_other_orders_do_not_deadlock(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    """Both are stopped at a key in the middle; in the orders they came in, each then holds what the other needs."""
    keys = [f"key-{number}" for number in range(9)]
    batches = [[new_task(idempotency_key=key) for key in order] for order in (keys, keys[::-1])]
    async with pool.acquire() as holder:
        holding = holder.transaction()
        await holding.start()
        await holder.execute(load("submission")["insert"], *_columns([new_task(idempotency_key=keys[4])]), False)
        inserting = [asyncio.create_task(ledger.insert(batch)) for batch in batches]
        await waiting(holder, 2)
        await holding.rollback()
    answers = await asyncio.gather(*inserting)
    assert sorted(batch.count(Inserted()) for batch in answers) == [0, 9]
    assert await pool.fetchval("select count(*) from orchestrator_tasks") == 9


async def test_of_two_with_one_key_in_a_batch_the_first_is_stored_and_named(ledger: PostgresLedger) -> None:
    first, second = new_task(idempotency_key="twice"), new_task(idempotency_key="twice")
    plain, other = new_task(), new_task(idempotency_key="a")
    answers = await ledger.insert([plain, first, other, second])
    assert answers == [Inserted(), Inserted(), Inserted(), Existing(first.id, first.fingerprint)]


async def test_another_body_under_a_key_is_told_by_its_fingerprint(ledger: PostgresLedger) -> None:
    first = new_task(idempotency_key="k")
    other = new_task(idempotency_key="k", payload=b"{}")
    await ledger.insert([first])
    assert await ledger.insert([other]) == [Existing(first.id, first.fingerprint)]
    assert first.fingerprint != other.fingerprint
    assert await ledger.read(TENANT, other.id) is None


async def test_a_batch_whose_commit_was_unknown_may_be_sent_again(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    batch = [new_task(), new_task(idempotency_key="k"), new_task()]
    await ledger.insert(batch[:2])
    assert await ledger.insert(batch) == [Inserted()] * 3
    assert await pool.fetchval("select count(*) from orchestrator_tasks") == 3


async def test_a_key_is_known_for_ever_by_default(ledger: PostgresLedger) -> None:
    first = new_task(idempotency_key="k")
    await ledger.insert([first])
    await ledger.settle([ending_of(claim_of(first, 1), DONE)])
    assert await ledger.insert([new_task(idempotency_key="k")]) == [Existing(first.id, first.fingerprint)]


async def test_a_key_held_until_the_end_is_free_after_it(ledger: PostgresLedger) -> None:
    first = new_task(idempotency_key="k", key_until_final=True)
    await ledger.insert([first])
    assert await ledger.insert([new_task(idempotency_key="k")]) == [Existing(first.id, first.fingerprint)]
    await ledger.settle([ending_of(claim_of(first, 1), DONE)])
    assert await ledger.insert([new_task(idempotency_key="k")]) == [Inserted()]


async def test_a_key_whose_time_is_over_is_free(ledger: PostgresLedger) -> None:
    past = new_task(idempotency_key="past", key_expires_at=CLOCK.now() - A_MINUTE)
    valid = new_task(idempotency_key="valid", key_expires_at=CLOCK.now() + A_MINUTE)
    await ledger.insert([past, valid])
    answers = await ledger.insert([new_task(idempotency_key="past"), new_task(idempotency_key="valid"), new_task()])
    assert answers == [Inserted(), Existing(valid.id, valid.fingerprint), Inserted()]
    assert await ledger.read(TENANT, past.id) is not None


async def test_simultaneous_requests_for_a_key_whose_time_is_over_store_one_task(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    await ledger.insert([new_task(idempotency_key="k", key_expires_at=CLOCK.now() - A_MINUTE)])
    answers = await asyncio.gather(*[ledger.insert([new_task(idempotency_key="k")]) for _ in range(30)])
    assert sum(answer == [Inserted()] for answer in answers) == 1
    assert await pool.fetchval("select count(*) from orchestrator_tasks where key_held") == 1


async def test_tenants_do_not_share_keys(ledger: PostgresLedger) -> None:
    answers = await ledger.insert([new_task(idempotency_key="k", tenant=tenant) for tenant in ("a", "b")])
    assert answers == [Inserted(), Inserted()]


async def test_nothing_to_store_is_no_error(ledger: PostgresLedger) -> None:
    assert await ledger.insert([]) == []
