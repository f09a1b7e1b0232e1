"""One sequence per task: what was told and what follows from the task, in the order of their places."""

from typing import Any

import pytest

from orchestrator.domain.events import OPENING, OUTCOME, SPAN, EventKind
from orchestrator.domain.ids import Fence, Tenant
from orchestrator.domain.outcome import Expired, Released
from orchestrator.domain.task import NewTask
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import (
    BROKEN,
    CLOCK,
    FLAKY,
    TENANT,
    claim_of,
    crashed,
    ending_of,
    failed,
    new_task,
    told,
    unknown_id,
)

HIGH = 131_071 << 36
"""The highest epoch: a place there is larger than a bigint."""


@pytest.fixture
async def task(ledger: PostgresLedger) -> NewTask:
    stored = new_task()
    await ledger.insert([stored])
    return stored


async def history(ledger: PostgresLedger, task: NewTask) -> list[tuple[int, int, str, Any]]:
    events = await ledger.events(TENANT, task.id, -1, 100)
    assert [event.place for event in events] == sorted({event.place for event in events})
    return [(event.fence, event.number, event.kind.value, event.data) for event in events]


def status(fence: int, number: int, name: str, attempt: int | None = None) -> tuple[int, int, str, Any]:
    return (fence, number, "status", {"status": name} | ({} if attempt is None else {"attempt": attempt}))


async def test_a_task_begins_with_its_creation(ledger: PostgresLedger, task: NewTask) -> None:
    delayed = new_task(run_at=CLOCK.now())
    await ledger.insert([delayed])
    assert await history(ledger, task) == [status(0, OPENING, "queued")]
    assert await history(ledger, delayed) == [status(0, OPENING, "scheduled")]
    assert (await ledger.events(TENANT, task.id, -1, 10))[0].at == task.created_at


async def test_the_creation_stays_what_it_was_though_the_task_is_retried(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.settle([ending_of(claim_of(task, 5), failed(FLAKY))])
    assert (await history(ledger, task))[0] == status(0, OPENING, "queued")


async def test_told_events_stand_between_the_opening_and_the_outcome_of_their_attempt(
    ledger: PostgresLedger, task: NewTask
) -> None:
    await ledger.start([claim_of(task, 5)])
    await ledger.tell([told(task, 5, 2, b'"second"'), told(task, 5, 1, b'"first"')])
    assert await ledger.tell([told(task, 5, 1, b'"first"')]) == [True], "told again after an unknown commit"
    await ledger.settle([ending_of(claim_of(task, 5), failed(FLAKY))])
    await ledger.tell([told(task, 6, 1, b'"third"')])
    await ledger.settle([ending_of(claim_of(task, 6, attempt=2))])
    assert await history(ledger, task) == [
        status(0, OPENING, "queued"),
        status(5, OPENING, "running", 1),
        (5, 1, "log", "first"),
        (5, 2, "log", "second"),
        status(5, OUTCOME, "retrying", 1),
        status(6, OPENING, "running", 2),
        (6, 1, "log", "third"),
        status(6, OUTCOME, "succeeded", 2),
    ]


async def test_a_running_attempt_has_no_outcome_yet(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.start([claim_of(task, 5)])
    assert await history(ledger, task) == [status(0, OPENING, "queued"), status(5, OPENING, "running", 1)]


async def test_a_released_attempt_is_given_back(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.settle([ending_of(claim_of(task, 5), Released())])
    assert (await history(ledger, task))[1:] == [status(5, OPENING, "running", 1), status(5, OUTCOME, "queued", 0)]


async def test_a_crash_opens_under_the_lost_fence_and_ends_under_its_finders(
    ledger: PostgresLedger, task: NewTask
) -> None:
    await ledger.start([claim_of(task, 5)])
    await ledger.tell([told(task, 5, 1)])
    await ledger.settle([crashed(task, 8, lost=5)])
    assert [place[:2] for place in await history(ledger, task)] == [(0, 0), (5, OPENING), (5, 1), (8, OUTCOME)]
    assert (await history(ledger, task))[-1] == status(8, OUTCOME, "queued", 1)


async def test_a_dead_letter_has_one_outcome_though_its_last_fence_names_no_run(
    ledger: PostgresLedger, task: NewTask
) -> None:
    await ledger.settle([crashed(task, 8, lost=5, crashes=2)])
    assert (await history(ledger, task))[1:] == [status(5, OPENING, "running", 1), status(8, OUTCOME, "failed", 1)]


async def test_what_ends_without_a_run_ends_under_the_fence_of_who_ended_it(ledger: PostgresLedger) -> None:
    cancelled, cancelled_running, expired = new_task(), new_task(), new_task()
    await ledger.insert([cancelled, cancelled_running, expired])
    await ledger.start([claim_of(cancelled_running, 5)])
    for task in (cancelled, cancelled_running):
        await ledger.cancel(TENANT, task.id, Fence(7))
    await ledger.settle([ending_of(claim_of(expired, 7), Expired())])
    assert (await history(ledger, cancelled))[1:] == [status(7, OUTCOME, "cancelled", 0)]
    assert (await history(ledger, expired))[1:] == [status(7, OUTCOME, "expired", 0)]
    assert (await history(ledger, cancelled_running))[1:] == [
        status(5, OPENING, "running", 1),
        status(7, OUTCOME, "cancelled", 1),
    ]


@pytest.mark.parametrize("by", ["cancel", "failure"])
async def test_opening_a_task_again_keeps_all_that_was_before(ledger: PostgresLedger, task: NewTask, by: str) -> None:
    await ledger.start([claim_of(task, 5)])
    if by == "cancel":
        await ledger.cancel(TENANT, task.id, Fence(7))
    else:
        await ledger.settle([ending_of(claim_of(task, 5), failed(BROKEN))])
    before = await history(ledger, task)
    await ledger.reopen(TENANT, [task.id], Fence(9), [None])
    assert await history(ledger, task) == [*before, status(9, OPENING, "queued", 0)]
    await ledger.settle([ending_of(claim_of(task, 10))])
    assert (await history(ledger, task))[-2:] == [
        status(10, OPENING, "running", 1),
        status(10, OUTCOME, "succeeded", 1),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_put_together_are_the_whole_without_gap_or_repeat(ledger: PostgresLedger, limit: int) -> None:
    task = new_task()
    await ledger.insert([task])
    for attempt, fence in enumerate((5, HIGH - 1, HIGH), start=1):
        await ledger.start([claim_of(task, fence, attempt)])
        await ledger.tell([told(task, fence, number) for number in (1, 2, 999_990)])
        await ledger.settle([ending_of(claim_of(task, fence, attempt), failed(FLAKY))])
    whole = await ledger.events(TENANT, task.id, -1, 100)
    assert len(whole) == 1 + 3 * 5
    assert whole[-1].place == HIGH * SPAN + OUTCOME > 2**63
    paged, place = [], -1
    while page := await ledger.events(TENANT, task.id, place, limit):
        assert len(page) <= limit
        paged += page
        place = page[-1].place
    assert paged == whole


async def test_kinds_narrow_the_sequence_before_it_is_cut(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.start([claim_of(task, 5)])
    await ledger.tell([told(task, 5, number) for number in range(1, 6)])
    logs = await ledger.events(TENANT, task.id, -1, 3, [EventKind.LOG])
    assert [event.number for event in logs] == [1, 2, 3]
    rest = await ledger.events(TENANT, task.id, logs[-1].place, 3, [EventKind.LOG, EventKind.PROGRESS])
    assert [event.number for event in rest] == [4, 5]
    statuses = await ledger.events(TENANT, task.id, -1, 9, [EventKind.STATUS])
    assert [event.fence for event in statuses] == [0, 5]
    assert await ledger.events(TENANT, task.id, -1, 9, []) == []


async def test_another_tenant_sees_no_event_and_no_run(ledger: PostgresLedger, task: NewTask) -> None:
    await ledger.start([claim_of(task, 5)])
    await ledger.tell([told(task, 5, 1)])
    assert await ledger.events(Tenant("other"), task.id, -1, 9) == []
    assert await ledger.runs(Tenant("other"), task.id) == []
    assert await ledger.events(TENANT, unknown_id(), -1, 9) == []
