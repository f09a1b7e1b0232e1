"""One winner: a write with an older fence changes nothing, also when two write at the same moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import asyncpg
import pytest

from orchestrator.domain.ids import Fence
from orchestrator.domain.outcome import Succeeded
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import NewTask, Task
from orchestrator.ledger.pool import open_pool
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import (
    CLOCK,
    FLAKY,
    TENANT,
    claim_of,
    ending_of,
    failed,
    new_task,
    results,
    told,
    unknown_id,
    waiting,
)

Write = Callable[[PostgresLedger, NewTask, int], Awaitable[bool]]


async def start(ledger: PostgresLedger, task: NewTask, fence: int) -> bool:
    return task.id in await ledger.start([claim_of(task, fence)])


async def settle(ledger: PostgresLedger, task: NewTask, fence: int) -> bool:
    return (await ledger.settle([ending_of(claim_of(task, fence))]))[0]


async def tell(ledger: PostgresLedger, task: NewTask, fence: int) -> bool:
    return (await ledger.tell([told(task, fence, 1)]))[0]


async def save_step(ledger: PostgresLedger, task: NewTask, fence: int) -> bool:
    return await ledger.save_step(claim_of(task, fence), "fetch", b"1")


WRITES = pytest.mark.parametrize("write", [start, settle, tell, save_step])


@pytest.fixture
async def task(ledger: PostgresLedger) -> NewTask:
    stored = new_task()
    await ledger.insert([stored])
    return stored


async def read(ledger: PostgresLedger, task: NewTask) -> Task:
    found = await ledger.read(TENANT, task.id)
    assert found is not None
    return found


async def everything(pool: asyncpg.Pool) -> list[list[asyncpg.Record]]:
    tables = ("tasks", "runs", "events", "steps")
    return [await pool.fetch(f"select * from orchestrator_{table} order by 1, 2") for table in tables]


@WRITES
async def test_the_first_attempt_may_write(ledger: PostgresLedger, task: NewTask, write: Write) -> None:
    assert await write(ledger, task, 5)


@WRITES
async def test_the_same_attempt_may_write_again(ledger: PostgresLedger, task: NewTask, write: Write) -> None:
    await start(ledger, task, 5)
    assert await write(ledger, task, 5)
    assert await write(ledger, task, 5)


@WRITES
async def test_an_older_attempt_changes_nothing(
    pool: asyncpg.Pool, ledger: PostgresLedger, task: NewTask, write: Write
) -> None:
    await start(ledger, task, 5)
    before = await everything(pool)
    assert not await write(ledger, task, 4)
    assert await everything(pool) == before


@WRITES
async def test_nothing_is_written_to_a_final_task_even_by_a_newer_attempt(
    pool: asyncpg.Pool, ledger: PostgresLedger, task: NewTask, write: Write
) -> None:
    await settle(ledger, task, 5)
    before = await everything(pool)
    assert not await write(ledger, task, 9)
    assert await everything(pool) == before


@WRITES
async def test_nothing_is_written_to_an_unknown_task(ledger: PostgresLedger, write: Write) -> None:
    assert not await write(ledger, new_task(id=unknown_id()), 1)


@WRITES
async def test_a_cancelled_attempt_cannot_write(ledger: PostgresLedger, task: NewTask, write: Write) -> None:
    await start(ledger, task, 5)
    assert await ledger.cancel(TENANT, task.id, Fence(6)) is not None
    assert not await write(ledger, task, 5)


@WRITES
async def test_a_paused_older_writer_that_waited_for_a_newer_one_is_refused(
    pool: asyncpg.Pool, ledger: PostgresLedger, task: NewTask, write: Write
) -> None:
    """The older one has read the row before the newer one commits; it must judge what it finds after the wait."""
    await start(ledger, task, 5)
    async with pool.acquire() as newer, newer.transaction():
        await newer.execute("update orchestrator_tasks set fence = 7 where id = $1", task.id)
        older = asyncio.create_task(write(ledger, task, 6))
        await waiting(newer)
        assert not older.done()
    assert not await older
    assert await pool.fetchval("select count(*) from orchestrator_runs where fence <> 5") == 0
    assert await pool.fetchval("select count(*) from orchestrator_events") == 0
    assert await pool.fetchval("select count(*) from orchestrator_steps") == 0


async def test_of_many_writers_at_once_exactly_one_ends_the_task(
    pool: asyncpg.Pool, ledger: PostgresLedger, task: NewTask
) -> None:
    endings = [ending_of(claim_of(task, fence, worker=f"w{fence}"), Succeeded(b"%d" % fence)) for fence in range(1, 41)]
    accepted = await asyncio.gather(*[ledger.settle([ending]) for ending in endings])
    winners = [ending.claim for ending, [fresh] in zip(endings, accepted, strict=True) if fresh]
    assert len(winners) == 1
    found = await read(ledger, task)
    assert (found.fence, found.result, found.worker_id) == (winners[0].fence, winners[0].fence, winners[0].worker)
    runs = await ledger.runs(TENANT, task.id)
    assert [(run.fence, run.status) for run in runs] == [(winners[0].fence, RunStatus.SUCCEEDED)]


async def test_a_settlement_is_on_record_once_though_it_is_sent_again(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    tasks = [new_task() for _ in range(3)]
    await ledger.insert(tasks)
    endings = [ending_of(claim_of(tasks[0], 1)), ending_of(claim_of(tasks[1], 2), failed(FLAKY))]
    assert await ledger.settle(endings) == [True, True]
    before = await everything(pool)
    again = [ending_of(claim_of(tasks[2], 3)), *endings]
    assert await ledger.settle(again) == [True, True, True]
    after = await everything(pool)
    assert [row for row in after[1] if row["fence"] < 3] == before[1]


async def test_a_final_ending_is_recognised_only_by_its_own_fence(ledger: PostgresLedger, task: NewTask) -> None:
    await settle(ledger, task, 5)
    assert await settle(ledger, task, 5)
    assert not await settle(ledger, task, 4)
    assert not await settle(ledger, task, 6)


async def test_a_start_that_comes_behind_its_own_ending_is_refused(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.settle([ending_of(claim_of(task, 5), failed(FLAKY))])
    assert not await start(ledger, task, 5)
    assert (await read(ledger, task)).status is State.RETRYING
    assert await start(ledger, task, 6)


async def test_an_ending_that_is_sent_again_after_its_task_became_due_moves_nothing_back(
    pool: asyncpg.Pool, ledger: PostgresLedger, task: NewTask
) -> None:
    ending = ending_of(claim_of(task, 5), failed(FLAKY))
    await ledger.settle([ending])
    await ledger.promote([task.id])
    before = await everything(pool)
    assert await ledger.settle([ending]) == [True]
    assert await everything(pool) == before


async def test_answers_come_in_the_order_of_the_batch(ledger: PostgresLedger) -> None:
    tasks = [new_task() for _ in range(6)]
    await ledger.insert(tasks)
    await ledger.settle([ending_of(claim_of(tasks[1], 9)), ending_of(claim_of(tasks[4], 9))])
    late = [tasks[place] for place in (5, 1, 3, 4, 0)]
    assert await ledger.start([claim_of(task, 3) for task in late]) == {tasks[5].id, tasks[3].id, tasks[0].id}
    events = [told(task, 3, number) for task in late for number in (1, 2)]
    assert await ledger.tell(events) == [fresh for fresh in (True, False, True, False, True) for _ in (1, 2)]
    assert await ledger.settle([ending_of(claim_of(task, 3)) for task in late]) == [True, False, True, False, True]


async def start_all(ledger: PostgresLedger, tasks: Sequence[NewTask], fence: int) -> None:
    await ledger.start([claim_of(task, fence) for task in tasks])


async def settle_all(ledger: PostgresLedger, tasks: Sequence[NewTask], fence: int) -> None:
    await ledger.settle([ending_of(claim_of(task, fence), failed(FLAKY)) for task in tasks])


async def tell_all(ledger: PostgresLedger, tasks: Sequence[NewTask], fence: int) -> None:
    await ledger.tell([told(task, fence, 1) for task in tasks])


async def reopen_all(ledger: PostgresLedger, tasks: Sequence[NewTask], fence: int) -> None:
    await ledger.reopen(TENANT, [task.id for task in tasks], Fence(fence), [None] * len(tasks))


async def promote_all(ledger: PostgresLedger, tasks: Sequence[NewTask], _: int) -> None:
    await ledger.promote([task.id for task in tasks])


@pytest.fixture
async def in_given_order(pool: asyncpg.Pool, database_url: str) -> AsyncIterator[PostgresLedger]:
    """A ledger whose statements come to their rows in the order of the batch, as they do in a large table."""
    name = await pool.fetchval("select current_database()")
    for way in ("seqscan", "hashjoin", "mergejoin", "bitmapscan"):
        await pool.execute(f"alter database {name} set enable_{way} = off")
    opened = await open_pool(database_url, size=2)
    yield PostgresLedger(opened)
    await opened.close()


@pytest.mark.parametrize("write", [start_all, settle_all, tell_all, reopen_all, promote_all])
async def test_batches_that_share_tasks_in_other_orders_do_not_deadlock(
    pool: asyncpg.Pool, in_given_order: PostgresLedger, write: Callable[..., Awaitable[None]]
) -> None:
    """Both are stopped at a row in the middle; in the orders they came in, each then holds what the other needs."""
    ledger = in_given_order
    tasks = [new_task(run_at=CLOCK.now()) for _ in range(9)]
    await ledger.insert(tasks)
    if write is reopen_all:
        await ledger.settle([ending_of(claim_of(task, 1)) for task in tasks])
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("select from orchestrator_tasks where id = $1 for update", tasks[4].id)
        orders = [tasks, tasks[::-1]]
        writing = [asyncio.create_task(write(ledger, order, fence)) for fence, order in enumerate(orders, start=5)]
        await waiting(holder, 2)
    await asyncio.gather(*writing)


async def test_a_step_is_answered_from_the_newest_attempt_that_finished_it(
    ledger: PostgresLedger, task: NewTask
) -> None:
    assert await results(ledger, task.id) == {}
    assert await ledger.save_step(claim_of(task, 1), "fetch", b'{"page":1}')
    assert await ledger.save_step(claim_of(task, 2), "fetch", b'{"page":2}')
    assert not await ledger.save_step(claim_of(task, 1), "fetch", b'{"page":0}')
    assert await ledger.save_step(claim_of(task, 1), "other", b"null")
    assert await results(ledger, task.id) == {"fetch": b'{"page":2}', "other": b"null"}
