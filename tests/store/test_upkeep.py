"""What the chores ask: the queue rebuilt from its pages, epochs, pauses, and old tasks forgotten."""

import asyncio
from datetime import datetime, timedelta

import asyncpg

from orchestrator.domain.ids import LOWEST_ID, Fence, task_id
from orchestrator.domain.states import State
from orchestrator.domain.task import NewTask
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import CLOCK, FLAKY, TENANT, claim_of, ending_of, failed, new_task, told

A_DAY = timedelta(days=1)


def us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


async def wait_for_a_child(pool: asyncpg.Pool, task: NewTask) -> None:
    await pool.execute("update orchestrator_tasks set status = $2 where id = $1", task.id, State.WAITING)


async def test_live_tasks_come_in_pages_by_id(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    tasks = [new_task() for _ in range(9)]
    await ledger.insert(tasks)
    await ledger.settle([ending_of(claim_of(tasks[0], 1)), ending_of(claim_of(tasks[4], 1))])
    await ledger.cancel(TENANT, tasks[8].id, Fence(2))
    await ledger.start([claim_of(tasks[5], 1)])
    await wait_for_a_child(pool, tasks[6])
    live = [tasks[place].id for place in (1, 2, 3, 5, 7)]
    assert await ledger.live_ids(LOWEST_ID, 2) == live[:2]
    assert await ledger.live_ids(live[1], 2) == live[2:4]
    assert await ledger.live_ids(live[3], 2) == live[4:]
    assert await ledger.live_ids(live[4], 2) == []
    assert await ledger.fresh_ids(tasks[2].id, tasks[7].id) == live[1:4]


async def test_an_entry_is_all_that_the_queue_needs(ledger: PostgresLedger) -> None:
    due, expires = CLOCK.now() + A_DAY, CLOCK.now() + 2 * A_DAY
    fresh = new_task(payload=b'{"b": 1, "a": 1.50}', queue="slow", priority=2, max_retries=1, timeout_seconds=0.5)
    delayed, retrying, running = new_task(run_at=due, expires_at=expires), new_task(), new_task()
    tasks = [fresh, delayed, retrying, running]
    await ledger.insert(tasks)
    await ledger.settle([ending_of(claim_of(retrying, 5, attempt=2, crashes=1), failed(FLAKY))])
    await ledger.start([claim_of(running, 5, attempt=3)])
    entries = {entry.id: entry for entry in await ledger.entries_of([task.id for task in reversed(tasks)])}
    assert list(entries) == [task.id for task in tasks]
    for task in tasks:
        entry = entries[task.id]
        names = ("tenant", "type", "queue", "priority", "payload", "max_retries", "timeout_seconds", "traceparent")
        assert [getattr(entry, name) for name in names] == [getattr(task, name) for name in names]
        assert entry.restored
    row = await ledger.read(TENANT, retrying.id)
    assert row is not None
    assert row.run_at is not None
    facts = {
        task.id: (entry.attempt, entry.crashes, entry.ready_at_us, entry.expires_at_us, entry.retrying)
        for task, entry in zip(tasks, entries.values(), strict=True)
    }
    assert facts[fresh.id] == (0, 0, us(fresh.created_at), None, False)
    assert facts[delayed.id] == (0, 0, us(due), us(expires), False)
    assert facts[retrying.id] == (2, 1, us(row.run_at), None, True)
    assert facts[running.id] == (3, 0, us(running.created_at), None, False)


async def test_what_has_ended_or_waits_is_no_entry(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    live, done, waiting = new_task(), new_task(), new_task()
    await ledger.insert([live, done, waiting])
    await ledger.settle([ending_of(claim_of(done, 1))])
    await wait_for_a_child(pool, waiting)
    entries = await ledger.entries_of([live.id, done.id, waiting.id, new_task().id])
    assert [entry.id for entry in entries] == [live.id]


async def test_what_is_final_is_told_from_what_is_not(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    tasks = [new_task() for _ in range(5)]
    await ledger.insert(tasks)
    _, running, done, cancelled, waiting = tasks
    await ledger.start([claim_of(running, 1)])
    await ledger.settle([ending_of(claim_of(done, 1))])
    await ledger.cancel(TENANT, cancelled.id, Fence(2))
    await wait_for_a_child(pool, waiting)
    ended = await ledger.ended_of([*(task.id for task in tasks), new_task().id])
    assert sorted(ended) == [done.id, cancelled.id]


async def test_epochs_only_grow_whoever_asks(ledger: PostgresLedger) -> None:
    assert await ledger.last_epoch() == 0
    epochs = await asyncio.gather(*[ledger.next_epoch() for _ in range(20)])
    assert sorted(epochs) == list(range(1, 21))
    assert await ledger.last_epoch() == 20


async def test_paused_queues_are_remembered_until_they_are_resumed(ledger: PostgresLedger) -> None:
    assert await ledger.paused_queues() == set()
    for queue in ("slow", "mail", "slow"):
        await ledger.pause(queue, True)
    assert await ledger.paused_queues() == {"slow", "mail"}
    await ledger.pause("slow", False)
    await ledger.pause("never", False)
    assert await ledger.paused_queues() == {"mail"}


async def test_old_final_tasks_go_with_all_that_is_theirs(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    now = CLOCK.now()
    long_ago = now - 40 * A_DAY

    def old(number: int) -> NewTask:
        return new_task(id=task_id(int(long_ago.timestamp() * 1000) + number, number), created_at=long_ago)

    ended, ended_lately, live = [old(1), old(2), old(3)], old(4), old(5)
    young = new_task()
    await ledger.insert([*ended, ended_lately, live, young])
    for task in (*ended, ended_lately, live):
        await ledger.tell([told(task, 1, 1)])
        await ledger.save_step(claim_of(task, 1), "step", b"1")
    await ledger.settle([ending_of(claim_of(task, 1)) for task in (*ended, ended_lately, young)])
    await ledger.start([claim_of(live, 1)])
    ids = [task.id for task in ended]
    await pool.execute("update orchestrator_tasks set finished_at = $1 where id = any($2)", long_ago, ids)

    assert (await ledger.prune(now - 30 * A_DAY, limit=2)).tasks == 2
    assert await ledger.read(TENANT, ended[2].id) is not None, "the oldest go first"
    assert (await ledger.prune(now - 30 * A_DAY, limit=2)).tasks == 1
    assert (await ledger.prune(now - 30 * A_DAY, limit=2)).tasks == 0
    for table, kept in (("runs", 3), ("events", 2), ("steps", 2)):
        rows = await pool.fetch(f"select task_id::text from orchestrator_{table}")
        assert len(rows) == kept
        assert {row["task_id"] for row in rows}.isdisjoint(ids)
    assert await ledger.live_ids(LOWEST_ID, 9) == [live.id]


async def test_a_key_may_be_used_again_when_its_task_was_pruned(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    task = new_task(idempotency_key="k")
    await ledger.insert([task])
    await ledger.settle([ending_of(claim_of(task, 1))])
    await ledger.prune(CLOCK.now() + A_DAY, limit=9)
    again = new_task(idempotency_key="k")
    await ledger.insert([again])
    assert await pool.fetchval("select id::text from orchestrator_tasks") == again.id


async def test_pruning_leaves_out_a_row_that_is_being_written(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    await ledger.settle([ending_of(claim_of(task, 1))])
    async with pool.acquire() as writer, writer.transaction():
        await writer.execute("select from orchestrator_tasks where id = $1 for update", task.id)
        assert (await ledger.prune(CLOCK.now() + A_DAY, limit=9)).tasks == 0
