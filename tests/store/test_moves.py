"""Moves that no worker makes: cancelled, expired, due, opened again."""

from datetime import timedelta

import asyncpg

from orchestrator.domain.ids import Fence, Tenant
from orchestrator.domain.outcome import Succeeded
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import NewTask, Task
from orchestrator.ledger.postgres import Existing, Inserted, PostgresLedger
from tests.store.samples import BROKEN, CLOCK, FLAKY, TENANT, claim_of, crashed, ending_of, failed, new_task, unknown_id

A_MINUTE = timedelta(minutes=1)
OTHER = Tenant("other")


async def read(ledger: PostgresLedger, task: NewTask) -> Task:
    found = await ledger.read(TENANT, task.id)
    assert found is not None
    return found


async def test_a_queued_task_is_cancelled(ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    ended = await ledger.cancel(TENANT, task.id, Fence(7))
    assert ended is not None
    assert (ended.status, ended.fence) == (State.CANCELLED, 7)
    assert ended.finished_at is not None
    assert ended == await read(ledger, task)
    assert await ledger.runs(TENANT, task.id) == []


async def test_a_running_task_is_cancelled_and_its_run_with_it(ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    await ledger.start([claim_of(task, 5)])
    assert await ledger.cancel(TENANT, task.id, Fence(7)) is not None
    runs = await ledger.runs(TENANT, task.id)
    assert [(run.fence, run.status, run.worker_id) for run in runs] == [(5, RunStatus.CANCELLED, "w1")]
    assert runs[0].finished_at is not None


async def test_cancelling_leaves_alone_what_is_final_foreign_or_unknown(ledger: PostgresLedger) -> None:
    final, foreign = new_task(), new_task(tenant=OTHER)
    await ledger.insert([final, foreign])
    await ledger.settle([ending_of(claim_of(final, 5))])
    for task_id in (final.id, foreign.id, unknown_id()):
        assert await ledger.cancel(TENANT, task_id, Fence(7)) is None
    assert (await read(ledger, final)).status is State.SUCCEEDED


async def test_a_final_task_starts_over_when_it_is_opened_again(ledger: PostgresLedger) -> None:
    dead, done = new_task(), new_task()
    await ledger.insert([dead, done])
    await ledger.settle(
        [ending_of(claim_of(dead, 5), failed(BROKEN)), ending_of(claim_of(done, 5), Succeeded(b"1"), progress=b"1")]
    )
    sent_at, later = CLOCK.now(), CLOCK.now() + A_MINUTE
    opened = await ledger.reopen(TENANT, [dead.id, done.id], Fence(9), [None, later])
    assert {task.id for task in opened} == {dead.id, done.id}
    queued, scheduled = await read(ledger, dead), await read(ledger, done)
    assert (queued.status, scheduled.status, scheduled.run_at) == (State.QUEUED, State.SCHEDULED, later)
    assert queued.run_at is not None
    assert sent_at <= queued.run_at <= CLOCK.now(), "it queues up behind what waits already"
    for task in (queued, scheduled):
        assert (task.attempt, task.crashes, task.fence) == (0, 0, 9)
        assert (task.result, task.error, task.progress, task.worker_id) == (None,) * 4
        assert (task.started_at, task.finished_at) == (None, None)
    assert len(await ledger.runs(TENANT, dead.id)) == 1
    assert await ledger.start([claim_of(dead, 10), claim_of(done, 8)]) == {dead.id}


async def test_only_what_has_ended_is_opened_again(ledger: PostgresLedger) -> None:
    live, dead, done, foreign = new_task(), new_task(), new_task(), new_task(tenant=OTHER)
    await ledger.insert([live, dead, done, foreign])
    await ledger.settle(
        [ending_of(claim_of(task, 5), failed(BROKEN)) for task in (dead, foreign)] + [ending_of(claim_of(done, 5))]
    )
    ids = [live.id, dead.id, done.id, foreign.id, unknown_id()]
    none = [None] * 5
    assert await ledger.reopen(TENANT, ids, Fence(4), none) == []
    opened = await ledger.reopen(TENANT, ids, Fence(9), none, only_dead=True)
    assert [task.id for task in opened] == [dead.id]
    assert [task.id for task in await ledger.reopen(TENANT, ids, Fence(9), none)] == [done.id]


async def test_a_key_that_was_let_go_stays_free_when_its_task_is_opened_again(ledger: PostgresLedger) -> None:
    for_ever, until_final = new_task(idempotency_key="a"), new_task(idempotency_key="b", key_until_final=True)
    await ledger.insert([for_ever, until_final])
    for task in (for_ever, until_final):
        await ledger.cancel(TENANT, task.id, Fence(7))
    await ledger.reopen(TENANT, [for_ever.id, until_final.id], Fence(9), [None, None])
    answers = await ledger.insert([new_task(idempotency_key="a"), new_task(idempotency_key="b")])
    assert answers == [Existing(for_ever.id, for_ever.fingerprint), Inserted()]


async def test_a_task_that_nobody_started_in_time_expires(ledger: PostgresLedger) -> None:
    late = new_task(expires_at=CLOCK.now() - A_MINUTE, idempotency_key="k", key_until_final=True)
    late_and_delayed = new_task(expires_at=CLOCK.now() - A_MINUTE, run_at=CLOCK.now() + A_MINUTE)
    in_time, started = new_task(expires_at=CLOCK.now() + A_MINUTE), new_task(expires_at=CLOCK.now() - A_MINUTE)
    queued_again = new_task(expires_at=CLOCK.now() - A_MINUTE)
    await ledger.insert([in_time, started, queued_again, new_task()])
    await ledger.settle([ending_of(claim_of(started, 3), failed(FLAKY)), crashed(queued_again, 4, lost=3)])
    assert await ledger.expiring(10) == []
    await ledger.insert([late, late_and_delayed])
    both = await ledger.expiring(10)
    assert sorted(both) == sorted([late.id, late_and_delayed.id])
    assert len(await ledger.expiring(1)) == 1
    assert [task.id for task in await ledger.expire(Fence(7), [late.id])] == [late.id]
    everything = [task.id for task in (late, late_and_delayed, in_time, started, queued_again)]
    assert [task.id for task in await ledger.expire(Fence(8), everything)] == [late_and_delayed.id]
    assert await ledger.expire(Fence(9), everything) == []
    for task in (late, late_and_delayed):
        found = await read(ledger, task)
        assert (found.status, found.worker_id) == (State.EXPIRED, None)
        assert found.finished_at is not None
    assert (await read(ledger, started)).status is State.RETRYING
    assert (await read(ledger, queued_again)).status is State.QUEUED
    assert await ledger.insert([new_task(idempotency_key="k")]) == [Inserted()]


async def test_expiry_leaves_out_a_row_that_is_being_written(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    task = new_task(expires_at=CLOCK.now() - A_MINUTE)
    await ledger.insert([task])
    async with pool.acquire() as writer, writer.transaction():
        await writer.execute("select from orchestrator_tasks where id = $1 for update", task.id)
        assert await ledger.expire(Fence(7), [task.id]) == []


async def test_an_expired_task_that_is_opened_again_does_not_expire_at_once(ledger: PostgresLedger) -> None:
    task = new_task(expires_at=CLOCK.now() - A_MINUTE)
    await ledger.insert([task])
    await ledger.expire(Fence(7), [task.id])
    await ledger.reopen(TENANT, [task.id], Fence(8), [None])
    assert await ledger.expiring(10) == []
    assert (await read(ledger, task)).expires_at is None


async def test_what_became_due_is_shown_as_queued(ledger: PostgresLedger) -> None:
    scheduled, retrying = new_task(run_at=CLOCK.now()), new_task()
    running, done = new_task(), new_task()
    tasks = [scheduled, retrying, running, done]
    await ledger.insert(tasks)
    await ledger.settle([ending_of(claim_of(retrying, 5), failed(FLAKY)), ending_of(claim_of(done, 5))])
    await ledger.start([claim_of(running, 5)])
    await ledger.promote([task.id for task in tasks])
    states = [(await read(ledger, task)).status for task in tasks]
    assert states == [State.QUEUED, State.QUEUED, State.RUNNING, State.SUCCEEDED]
