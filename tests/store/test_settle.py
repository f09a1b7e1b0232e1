"""What each ending leaves behind: on the task, and in its runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.outcome import Expired, Outcome, Released, Succeeded
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import NewTask, Run, Task
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import (
    BEGAN_US,
    BROKEN,
    CLOCK,
    FLAKY,
    TENANT,
    claim_of,
    crashed,
    ending_of,
    failed,
    new_task,
)

LASTED = timedelta(seconds=2)


@pytest.fixture
async def task(ledger: PostgresLedger) -> NewTask:
    stored = new_task()
    await ledger.insert([stored])
    return stored


def began(fence: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=BEGAN_US + fence)


async def read(ledger: PostgresLedger, task: NewTask) -> tuple[Task, list[Run]]:
    found = await ledger.read(TENANT, task.id)
    assert found is not None
    return found, await ledger.runs(TENANT, task.id)


async def test_a_start_shows_the_running_attempt(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.start([claim_of(task, 5, attempt=2)])
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.fence) == (State.RUNNING, 2, 5)
    assert (found.worker_id, found.started_at, found.finished_at) == ("w1", began(5), None)
    assert runs == [Run(task.id, 5, 2, RunStatus.RUNNING, "w1", began(5), None, None)]


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_success_keeps_its_result(ledger: PostgresLedger, task: NewTask, recorded: bool) -> None:
    if recorded:
        await ledger.start([claim_of(task, 5)])
    result = '{"text":"\\u0000 ☃","n":1e3}'.encode()
    await ledger.settle([ending_of(claim_of(task, 5), Succeeded(result), progress=b'{"fraction":1.0}')])
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.crashes, found.fence) == (State.SUCCEEDED, 1, 0, 5)
    assert (found.result, found.error) == ({"text": "\0 ☃", "n": 1000.0}, None)
    assert found.progress == {"fraction": 1.0}
    assert (found.worker_id, found.started_at, found.finished_at) == ("w1", began(5), began(5) + LASTED)
    assert runs == [Run(task.id, 5, 1, RunStatus.SUCCEEDED, "w1", began(5), began(5) + LASTED, None)]


async def test_a_terminal_failure_is_a_dead_letter_with_its_error(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.settle([ending_of(claim_of(task, 5), failed(BROKEN))])
    found, runs = await read(ledger, task)
    error = {"type": "ValueError", "message": "no such page", "retryable": False, "fingerprint": "f-broken"}
    assert (found.status, found.error, found.result) == (State.FAILED, error, None)
    assert found.finished_at == began(5) + LASTED
    assert [(run.status, run.error) for run in runs] == [(RunStatus.FAILED, error)]


async def test_a_retry_is_due_after_its_delay_and_holds_no_worker(ledger: PostgresLedger, task: NewTask) -> None:
    ending = ending_of(claim_of(task, 5), failed(FLAKY))
    assert ending.delay_us == 1_000_000
    sent_at = CLOCK.now()
    await ledger.settle([ending])
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.worker_id, found.finished_at) == (State.RETRYING, 1, None, None)
    assert found.run_at is not None
    assert sent_at <= found.run_at - timedelta(seconds=1) <= CLOCK.now()
    assert found.error is not None
    assert [(run.status, run.finished_at) for run in runs] == [(RunStatus.FAILED, began(5) + LASTED)]


async def test_a_success_behind_a_failure_forgets_the_error_and_keeps_both_runs(
    ledger: PostgresLedger, task: NewTask
) -> None:
    await ledger.settle([ending_of(claim_of(task, 5), failed(FLAKY))])
    await ledger.settle([ending_of(claim_of(task, 6, attempt=2))])
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.error, found.started_at) == (State.SUCCEEDED, 2, None, began(6))
    assert [(run.attempt, run.status) for run in runs] == [(1, RunStatus.FAILED), (2, RunStatus.SUCCEEDED)]


async def test_a_released_attempt_does_not_count_and_keeps_the_last_error(
    ledger: PostgresLedger, task: NewTask
) -> None:
    await ledger.settle([ending_of(claim_of(task, 5), failed(FLAKY))])
    await ledger.settle([ending_of(claim_of(task, 6, attempt=2), Released())])
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.worker_id, found.finished_at) == (State.QUEUED, 1, None, None)
    assert found.error is not None
    assert [(run.attempt, run.status) for run in runs] == [(1, RunStatus.FAILED), (2, RunStatus.RELEASED)]


async def test_a_crash_ends_the_run_that_was_on_record(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.start([claim_of(task, 5)])
    assert await ledger.settle([crashed(task, 8, lost=5)]) == [True]
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.crashes, found.fence) == (State.QUEUED, 1, 1, 8)
    assert [(run.fence, run.status, run.worker_id) for run in runs] == [(5, RunStatus.CRASHED, "w1")]
    assert runs[0].started_at == began(5)
    assert runs[0].finished_at is not None
    assert runs[0].error is not None


async def test_a_crash_of_a_short_attempt_leaves_one_run_too(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.settle([crashed(task, 8, lost=5)])
    _, runs = await read(ledger, task)
    assert [(run.fence, run.attempt, run.status) for run in runs] == [(5, 1, RunStatus.CRASHED)]


async def test_a_crash_found_by_a_second_sweeper_ends_the_same_run(ledger: PostgresLedger, task: NewTask) -> None:
    """The first one leased the task under 8 and vanished itself."""
    await ledger.start([claim_of(task, 5)])
    assert await ledger.settle([crashed(task, 9, lost=5)]) == [True]
    _, runs = await read(ledger, task)
    assert [(run.fence, run.status) for run in runs] == [(5, RunStatus.CRASHED)]


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_crash_that_a_sweeper_has_recorded_is_not_counted_again(
    ledger: PostgresLedger, task: NewTask, recorded: bool
) -> None:
    """The first sweeper vanished between its commit and its word to the queue."""
    if recorded:
        await ledger.start([claim_of(task, 5)])
    assert await ledger.settle([crashed(task, 8, lost=5)]) == [True]
    assert await ledger.settle([crashed(task, 8, lost=5)]) == [True], "the same batch again is on record"
    before = await read(ledger, task)
    assert await ledger.settle([crashed(task, 9, lost=5, crashes=1)]) == [False]
    assert await read(ledger, task) == before


@pytest.mark.parametrize("outcome", [failed(FLAKY), Released()], ids=["failed", "released"])
async def test_a_run_that_has_ended_did_not_crash(ledger: PostgresLedger, task: NewTask, outcome: Outcome) -> None:
    """The worker vanished between its commit and its word to the queue."""
    await ledger.settle([ending_of(claim_of(task, 5), outcome)])
    before = await read(ledger, task)
    assert await ledger.settle([crashed(task, 8, lost=5)]) == [False]
    assert await read(ledger, task) == before


async def test_a_short_attempt_behind_one_that_ended_may_crash(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.settle([ending_of(claim_of(task, 5), failed(FLAKY))])
    assert await ledger.settle([crashed(task, 8, lost=6, attempt=2)]) == [True]
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.crashes) == (State.QUEUED, 2, 1)
    assert [(run.fence, run.status) for run in runs] == [(5, RunStatus.FAILED), (6, RunStatus.CRASHED)]


async def test_the_last_crash_makes_a_dead_letter(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.start([claim_of(task, 5)])
    await ledger.settle([crashed(task, 8, lost=5, crashes=2)])
    found, _ = await read(ledger, task)
    assert (found.status, found.crashes, found.worker_id) == (State.FAILED, 3, "w1")
    assert found.started_at == began(5)
    assert found.error is not None
    assert found.error["type"] == "poison"
    assert found.finished_at is not None


async def test_a_task_that_expired_in_the_queue_has_no_run(ledger: PostgresLedger, task: NewTask) -> None:
    assert await ledger.settle([ending_of(claim_of(task, 5), Expired())]) == [True]
    found, runs = await read(ledger, task)
    assert (found.status, found.attempt, found.fence, runs) == (State.EXPIRED, 0, 5, [])
    assert (found.worker_id, found.started_at) == (None, None)
    assert found.finished_at is not None


@pytest.mark.parametrize("by", ["start", "settle"])
async def test_a_run_that_nobody_ended_is_over_when_a_newer_attempt_writes(
    ledger: PostgresLedger, task: NewTask, by: str
) -> None:
    """Redis was emptied while its worker was dead: no lease ran out that a sweep could have found."""
    await ledger.start([claim_of(task, 5)])
    newer = claim_of(task, 9, attempt=2, worker="w2")
    if by == "start":
        await ledger.start([newer])
    else:
        await ledger.settle([ending_of(newer)])
    _, runs = await read(ledger, task)
    ended = RunStatus.RUNNING if by == "start" else RunStatus.SUCCEEDED
    assert [(run.fence, run.status, run.worker_id) for run in runs] == [
        (5, RunStatus.CRASHED, "w1"), (9, ended, "w2"),
    ]  # fmt: skip
    assert runs[0].finished_at is not None


async def test_a_task_that_waits_holds_no_worker_and_is_not_final(ledger: PostgresLedger, task: NewTask) -> None:
    parked = replace(ending_of(claim_of(task, 5), Released()), state=State.WAITING)
    assert await ledger.settle([parked]) == [True]
    found, runs = await read(ledger, task)
    assert (found.status, found.worker_id, found.finished_at) == (State.WAITING, None, None)
    assert [run.status for run in runs] == [RunStatus.RELEASED]
    assert await ledger.settle([ending_of(claim_of(task, 6))]) == [True]


async def test_a_batch_may_hold_every_kind_of_ending(ledger: PostgresLedger) -> None:
    tasks = [new_task() for _ in range(6)]
    await ledger.insert(tasks)
    outcomes = [Succeeded(b"null"), failed(BROKEN), failed(FLAKY), Released(), Expired()]
    endings = [ending_of(claim_of(task, 5), outcome) for task, outcome in zip(tasks, outcomes, strict=False)]
    assert await ledger.settle([*endings, crashed(tasks[5], 5, lost=4)]) == [True] * 6
    states = [(await read(ledger, task))[0].status for task in tasks]
    assert states == [State.SUCCEEDED, State.FAILED, State.RETRYING, State.QUEUED, State.EXPIRED, State.QUEUED]
