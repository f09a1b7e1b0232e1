"""Idempotency keys in the outbox: a task that was accepted is kept, and a key answers for one task at most."""

import asyncpg
import pytest

from orchestrator.domain.ids import TaskId
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.states import State
from orchestrator.domain.task import NewTask
from orchestrator.ledger import outbox
from orchestrator.ledger.outbox import Record
from orchestrator.ledger.postgres import Existing, Inserted, PostgresLedger
from tests.store.samples import DONE, TENANT, claim_of, ending_of, new_task
from tests.store.test_outbox import applied, everything, insert, settle, start


def withdraw(task: NewTask, holder: NewTask | None) -> Record:
    return RecordKind.WITHDRAW, task.id, outbox.withdrawn(task.id, None if holder is None else holder.id)


async def holders(pool: asyncpg.Pool) -> list[TaskId]:
    return [row["id"] for row in await pool.fetch("select id::text from orchestrator_tasks where key_held order by id")]


async def test_an_accepted_task_is_kept_though_another_holds_its_key(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    holder, task = new_task(idempotency_key="k"), new_task(idempotency_key="k")
    await ledger.insert([holder])
    answer = await applied(ledger, [insert(task), start(claim_of(task, 5)), settle(ending_of(claim_of(task, 5)))])
    assert answer.conflicts == [(task.id, holder.id)]
    assert await holders(pool) == [holder.id]
    found = await ledger.read(TENANT, task.id)
    assert found is not None
    assert (found.idempotency_key, found.result) == ("k", {"size": 12})
    assert await ledger.insert([new_task(idempotency_key="k")]) == [Existing(holder.id, holder.fingerprint)]
    before = await everything(pool)
    assert (await applied(ledger, [insert(task)])).conflicts == []
    assert await everything(pool) == before


async def test_a_task_that_holds_its_own_key_is_no_conflict(ledger: PostgresLedger) -> None:
    task = new_task(idempotency_key="k")
    await ledger.insert([task])
    assert (await applied(ledger, [insert(task)])).conflicts == []


async def test_of_two_with_one_key_in_a_batch_the_first_holds_it(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    first, second = new_task(idempotency_key="k"), new_task(idempotency_key="k")
    assert (await applied(ledger, [insert(first), insert(second)])).conflicts == [(second.id, first.id)]
    assert await holders(pool) == [first.id]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("size", [1, 2, 9])
async def test_a_key_that_is_free_by_the_end_of_its_holder_is_taken_by_the_next(
    pool: asyncpg.Pool, ledger: PostgresLedger, stored: bool, size: int
) -> None:
    first, second = (new_task(idempotency_key="k", key_until_final=True) for _ in range(2))
    claims = [claim_of(first, 5), claim_of(second, 6)]
    if stored:
        await ledger.insert([first])
    records = [
        insert(first), start(claims[0]), settle(ending_of(claims[0], DONE)),
        insert(second), start(claims[1]), insert(new_task()),
    ]  # fmt: skip
    for place in range(0, len(records), size):
        assert (await applied(ledger, records[place : place + size])).conflicts == []
    assert await holders(pool) == [second.id]


@pytest.mark.parametrize("order", ["row holder withdraw", "row withdraw holder", "holder row withdraw"])
@pytest.mark.parametrize("together", [False, True])
async def test_a_withdrawn_row_leaves_its_key_to_the_task_that_was_accepted(
    pool: asyncpg.Pool, ledger: PostgresLedger, order: str, together: bool
) -> None:
    """The row was written directly, though nobody knew; the other two are records."""
    row, holder = new_task(idempotency_key="k"), new_task(idempotency_key="k")
    acts = {"holder": insert(holder), "withdraw": withdraw(row, holder)}
    batch: list[Record] = []
    for act in order.split():
        if act == "row":
            await ledger.insert([row])
        elif together:
            batch.append(acts[act])
        else:
            await applied(ledger, [acts[act]])
    assert (await applied(ledger, batch)).conflicts == []
    before = await everything(pool)
    assert await holders(pool) == [holder.id]
    ended = await ledger.read(TENANT, row.id)
    if order.startswith("holder") and not together:
        assert ended is None, "the key was held: there never was such a row"
    else:
        assert ended is not None
        assert ended.error is not None
        assert (ended.status, ended.error["type"]) == (State.CANCELLED, "superseded")
        assert holder.id in ended.error["message"]
    assert (await applied(ledger, [acts["withdraw"], acts["holder"], acts["withdraw"]])).conflicts == []
    assert await everything(pool) == before


async def test_a_row_that_was_touched_is_not_withdrawn(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    row, holder = new_task(idempotency_key="k"), new_task(idempotency_key="k")
    await ledger.insert([row])
    await applied(ledger, [insert(holder), start(claim_of(row, 5))])
    before = await everything(pool)
    await ledger.withdraw([(row.id, holder.id)])
    assert await everything(pool) == before


@pytest.mark.parametrize(
    "holder",
    [
        new_task(idempotency_key="k", payload=b"[]"),
        new_task(idempotency_key="other"),
        new_task(idempotency_key="k", tenant="else"),
        None,
    ],
    ids=["another body", "another key", "another tenant", "unknown"],
)
async def test_a_key_is_given_to_nobody_who_did_not_ask_for_the_same(
    pool: asyncpg.Pool, ledger: PostgresLedger, holder: NewTask | None
) -> None:
    row = new_task(idempotency_key="k")
    await ledger.insert([row])
    if holder:
        await ledger.insert_aside([holder])
    await applied(ledger, [withdraw(row, holder)])
    assert await holders(pool) == []
    ended = await ledger.read(TENANT, row.id)
    assert ended is not None
    assert ended.status is State.CANCELLED


async def test_a_key_is_not_given_to_a_task_that_would_have_let_it_go(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    row, holder = (new_task(idempotency_key="k", key_until_final=True) for _ in range(2))
    await ledger.insert([row])
    await applied(ledger, [insert(holder), settle(ending_of(claim_of(holder, 5)))])
    await applied(ledger, [withdraw(row, holder)])
    assert await holders(pool) == []
    assert await ledger.insert([new_task(idempotency_key="k")]) == [Inserted()]
