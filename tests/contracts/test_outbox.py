"""What is written while Postgres is away: kept in order, fenced, and remembered until it is applied."""

from dataclasses import replace

import pytest

from orchestrator.domain.ids import Fence
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry
from orchestrator.queue.port import Queue
from tests.contracts.conftest import Bench
from tests.queue.entries import (
    HOLD_MS,
    HOUR_US,
    ONE,
    SWEEPER,
    TWO,
    acceptance,
    ending,
    entry,
    placeless,
    record_of,
    write,
)

FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.WAITING)


async def claimed(queue: Queue, *entries: Entry, hold_ms: int = HOLD_MS) -> list[Claim]:
    await queue.enqueue(entries)
    return await queue.claim(ONE, "default", len(entries), hold_ms)


async def owed(queue: Queue, claim: Claim, state: State = State.SUCCEEDED, record: bytes = b"ended") -> bool:
    """Settle into the outbox."""
    (answer,) = await queue.settle(claim.worker, [ending(claim, state)], (), [record])
    return answer


async def test_records_are_kept_in_the_order_they_were_written(queue: Queue) -> None:
    assert (queue.appended(), await queue.outbox(10), await queue.outbox_depth()) == ("", [], 0)
    task = entry()
    await queue.accept([acceptance(task)])
    assert queue.appended() == (await queue.outbox(10))[-1].place
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    writes = [write(claim), write(claim, RecordKind.TELL), write(claim, RecordKind.STEP, step=("a", b"1"))]
    assert await queue.record(ONE, writes) == [True] * 3
    assert await owed(queue, claim)
    waiting = await queue.outbox(10)
    assert [(each.kind.value, each.task_id, each.fence) for each in waiting] == [
        ("insert", task.id, 0), ("start", task.id, claim.fence), ("tell", task.id, claim.fence),
        ("step", task.id, claim.fence), ("settle", task.id, claim.fence),
    ]  # fmt: skip
    assert placeless(waiting[1])[3:] == ("", writes[0].record)
    assert placeless(waiting[4])[3:] == ("", b"ended")
    places = [each.place for each in waiting]
    assert places == sorted(set(places))
    assert queue.appended() == places[-1]
    assert await queue.outbox(2) == waiting[:2]
    await queue.applied(waiting[:2])
    assert await queue.outbox(10) == waiting[2:]
    assert await queue.outbox_depth() == 3
    await queue.applied([])
    await queue.applied(waiting)
    await queue.applied(waiting)
    assert (await queue.outbox(10), await queue.outbox_depth(), queue.appended()) == ([], 0, places[-1])


async def test_only_the_holder_of_the_lease_writes(bench: Bench) -> None:
    queue = bench.queue
    over, dropped, ended = await claimed(queue, entry(), entry(), entry(), hold_ms=1)
    await bench.pass_ms(2)
    await queue.settle(ONE, [ending(ended)])
    await queue.drop([dropped.entry.id])
    assert await queue.record(ONE, [write(over)]) == [True]  # it ran out, and nobody took over yet
    (newer,), _ = await queue.take_over(SWEEPER, 5, HOLD_MS)
    before = await queue.outbox_depth()
    stale = [write(each, RecordKind.STEP, step=("a", b"1")) for each in (over, dropped, ended)]
    assert await queue.record(ONE, stale) == [False] * 3
    assert await queue.record(TWO, [write(newer)]) == [False]
    assert await owed(queue, over) is await owed(queue, dropped) is await owed(queue, ended) is False
    assert (await queue.outbox_depth(), await queue.steps(over.entry.id)) == (before, {})
    both = [ending(over), replace(ending(newer), state=State.FAILED)]
    assert await queue.settle(SWEEPER, both, (), [b"not mine", b"mine"]) == [False, True]
    assert [each.record for each in await queue.outbox(10)][before:] == [b"mine"]


@pytest.mark.parametrize("state", FINAL)
async def test_a_final_task_is_remembered_until_postgres_has_it(queue: Queue, state: State) -> None:
    (claim,) = await claimed(queue, task := entry(crashes=1))
    assert await queue.settle(ONE, [ending(claim, state)], [("tasks_total", "a", 1.0)], [b"ended"]) == [True]
    live = (await queue.live([task.id]))[task.id]
    assert (live.status, live.attempt, live.fence, live.worker) == (state, 1, claim.fence, None)
    held = await queue.held(task.id)
    assert held is not None
    assert (held.live, held.record) == (live, b"ended")
    assert held.entry == replace(task, attempt=1, ready_at_us=None)
    standing = await queue.standing(task.id)
    assert (standing.live, standing.queue, standing.rank, standing.due_in_us) == (live, "default", None, None)
    assert await queue.missing([task.id]) == []
    await queue.applied(await queue.outbox(10))
    assert await queue.missing([task.id]) == [task.id]
    assert (await queue.live([task.id]), await queue.held(task.id)) == ({}, None)


async def test_nobody_runs_or_holds_a_final_task(bench: Bench) -> None:
    queue = bench.queue
    (claim,) = await claimed(queue, task := entry())
    await owed(queue, claim)
    lease = (task.id, claim.fence)
    assert await queue.leased() == await queue.pending("default", 0, 9) == []
    assert await queue.extend(ONE, [lease], HOLD_MS) == [task.id]
    assert await queue.forget(ONE, [lease]) == []
    assert await queue.record(ONE, [write(claim)]) == [False]
    assert await queue.settle(ONE, [ending(claim)]) == [False]
    assert (await queue.put_back(9), await queue.promote(9)) == ([], [])
    assert await queue.take_over(SWEEPER, 5, HOLD_MS) == ([], [])
    assert await queue.claim(TWO, "default", 5, HOLD_MS, task.id) == []
    assert [(figures.depth, figures.running) for figures in await queue.queues()] == [(0, 0)]
    assert await queue.held(task.id) is not None
    assert await queue.outbox_depth() == 1


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.RETRYING, State.QUEUED])
async def test_settling_into_the_outbox_again_changes_nothing(queue: Queue, state: State) -> None:
    (claim,) = await claimed(queue, task := entry())
    assert await owed(queue, claim, state)
    assert await owed(queue, claim, state, b"again")
    assert [each.record for each in await queue.outbox(10)] == [b"ended"]
    again = await queue.claim(TWO, "default", 5, HOLD_MS)
    assert [each.entry.id for each in again] == ([task.id] if state is State.QUEUED else [])
    assert await owed(queue, claim, state, b"again")
    assert await queue.outbox_depth() == 1
    assert await queue.leased() == [each.entry.id for each in again]


async def test_a_retry_or_release_through_the_outbox_is_like_any_other(bench: Bench) -> None:
    queue = bench.queue
    failed, released = await claimed(queue, entry(attempt=1), entry())
    endings = [ending(failed, State.RETRYING, delay_us=20_000), ending(released, State.QUEUED)]
    assert await queue.settle(ONE, endings, (), [b"failed", b"released"]) == [True, True]
    live = await queue.live([failed.entry.id, released.entry.id])
    assert [each.fence for each in live.values()] == [failed.fence, released.fence]
    await queue.applied(await queue.outbox(10))
    assert await queue.missing([failed.entry.id, released.entry.id]) == []
    await bench.pass_ms(30)
    assert await queue.promote(5) == [failed.entry.id]
    claims = {claim.entry.id: claim for claim in await queue.claim(TWO, "default", 5, HOLD_MS)}
    assert (claims[failed.entry.id].attempt, claims[released.entry.id].attempt) == (3, 1)
    assert claims[released.entry.id].entry.ready_at_us == released.entry.ready_at_us
    assert claims[failed.entry.id].settled_epoch
    assert await queue.settle(TWO, [ending(claim) for claim in claims.values()]) == [True, True]
    assert await queue.missing(list(claims)) == list(claims)


async def test_a_final_task_that_was_opened_again_runs_again_and_is_not_forgotten(queue: Queue) -> None:
    (claim,) = await claimed(queue, task := entry(attempt=3, crashes=1))
    await owed(queue, claim, State.FAILED)
    before = await queue.outbox(10)
    again = replace(task, attempt=0, crashes=0, restored=True)
    assert await queue.enqueue([again]) == [True]
    assert await queue.enqueue([again]) == [False]
    await queue.applied(before)
    held = await queue.held(task.id)
    assert held is not None
    assert (held.live.status, held.live.attempt, held.live.fence, held.record) == (State.QUEUED, 0, 0, None)
    (second,) = await queue.claim(TWO, "default", 5, HOLD_MS)
    assert (second.attempt, second.entry.crashes, second.settled_epoch) == (1, 0, False)
    assert await owed(queue, claim) is False
    await owed(queue, second)
    await queue.applied(before)  # once more, its answer was lost: this is not the ending that Postgres has
    assert await queue.missing([task.id]) == []
    await queue.applied(await queue.outbox(10))
    assert await queue.missing([task.id]) == [task.id]


async def test_only_the_settle_record_of_its_end_removes_a_final_task(queue: Queue) -> None:
    (claim,) = await claimed(queue, task := entry())
    await queue.record(ONE, [write(claim), write(claim, RecordKind.STEP, step=("a", b"1"))])
    await owed(queue, claim)
    *first, last = await queue.outbox(10)
    await queue.applied(first)
    assert await queue.missing([task.id]) == []
    assert await queue.steps(task.id) == {"a": b"1"}
    await queue.applied([last])
    assert await queue.missing([task.id]) == [task.id]
    assert await queue.steps(task.id) == {}


async def test_an_ending_survives_that_the_queue_was_emptied(bench: Bench) -> None:
    final, failed = await claimed(bench.queue, entry(), entry(attempt=2))
    await bench.empty()
    queue = bench.queue
    await queue.open_epoch(2)
    assert await queue.record(ONE, [write(final)]) == [True]
    endings = [ending(final), ending(failed, State.RETRYING, delay_us=HOUR_US)]
    for _ in range(2):
        assert await queue.settle(ONE, endings, (), [b"final", b"failed"]) == [True, True]
    held = await queue.held(final.entry.id)
    assert held is not None
    assert (held.entry.payload, held.live.status, held.record) == (final.entry.payload, State.SUCCEEDED, b"final")
    assert await queue.missing([final.entry.id, failed.entry.id]) == []
    assert [each.record for each in await queue.outbox(10)][1:] == [b"final", b"failed"]


async def test_steps_are_answered_while_the_task_lives(bench: Bench) -> None:
    queue = bench.queue
    claims = await claimed(queue, *(entry() for _ in range(5)))
    ids = [claim.entry.id for claim in claims]
    for name, result in (("fetch", b'{"a":1}'), ("write", b"null"), ("fetch", b"2")):
        await queue.record(ONE, [write(claim, RecordKind.STEP, step=(name, result)) for claim in claims])
    assert await queue.steps(ids[0]) == {"fetch": b"2", "write": b"null"}
    settled, retried, owing, dropped, forgotten = claims
    await queue.settle(ONE, [ending(settled), ending(retried, State.RETRYING)])
    await owed(queue, owing)
    await queue.drop([dropped.entry.id])
    await queue.forget(ONE, [(forgotten.entry.id, forgotten.fence)])
    kept = {task_id for task_id in ids if await queue.steps(task_id)}
    assert kept == {retried.entry.id, owing.entry.id}
    await queue.drop([owing.entry.id, retried.entry.id])
    assert (await queue.steps(owing.entry.id), await queue.steps(retried.entry.id)) == ({}, {})
    assert await queue.held(owing.entry.id) is None
    assert await queue.missing([owing.entry.id]) == [owing.entry.id]


async def test_all_that_is_known_of_a_task_wherever_it_is(bench: Bench) -> None:
    queue, now_us = bench.queue, await bench.now_us()
    waiting, running = entry(ready_at_us=now_us - 5_000_000), entry(priority=0, ready_at_us=now_us - 9_000_000)
    later = entry(
        queue="mails", ready_at_us=now_us + HOUR_US, retrying=True, attempt=4, crashes=2, max_retries=9,
        timeout_seconds=1.5, tenant="ténant", expires_at_us=now_us + 2 * HOUR_US, payload=b'{"t":"\xc3\xa9"}',
    )  # fmt: skip
    await queue.enqueue([waiting, running, later])
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    for task, status in ((waiting, State.QUEUED), (later, State.RETRYING)):
        held = await queue.held(task.id)
        assert held is not None
        assert (held.entry, held.live.status, held.live.fence, held.record) == (task, status, 0, None)
    held = await queue.held(running.id)
    assert held is not None
    assert (held.entry, held.live.worker, held.live.fence) == (replace(running, attempt=1), ONE, claim.fence)
    assert held.live.started_at_us == claim.claimed_at_us
    assert await queue.held(entry().id) is None


async def test_how_a_task_was_asked_for_is_known_until_postgres_has_it(queue: Queue) -> None:
    first, second = entry(), entry(priority=9)
    await queue.accept([acceptance(first), acceptance(second)])

    async def asked() -> list[bytes | None]:
        return [held and held.asked for held in (await queue.held(first.id), await queue.held(second.id))]

    records = [record_of(first.id, "insert"), record_of(second.id, "insert")]
    assert await asked() == records
    for state, known in ((State.RETRYING, records), (State.SUCCEEDED, [None, records[1]])):
        (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
        await queue.settle(ONE, [ending(claim, state, delay_us=0)], (), [b"ended"])
        assert await asked() == known
        await queue.promote(1)
        await queue.applied((await queue.outbox(10))[:1])


async def test_of_a_lease_that_was_asserted_nothing_else_is_known(bench: Bench) -> None:
    (claim,) = await claimed(bench.queue, entry())
    await bench.empty()
    assert await bench.queue.extend(ONE, [(claim.entry.id, claim.fence)], HOLD_MS) == []
    assert await bench.queue.held(claim.entry.id) is None
    assert await bench.queue.record(TWO, [write(claim)]) == [False]
    assert await bench.queue.record(ONE, [write(claim), replace(write(claim), fence=Fence(7))]) == [True, False]


async def test_lines_of_the_audit_wait_among_the_records_and_need_no_lease(queue: Queue) -> None:
    before, after = entry(), entry()
    await queue.accept([acceptance(before)])
    await queue.append([("line-1", b"one"), ("line-2", b"two")])
    assert queue.appended() == (await queue.outbox(10))[-1].place
    await queue.accept([acceptance(after)])
    waiting = await queue.outbox(10)
    assert [(each.kind.value, each.task_id) for each in waiting] == [
        ("insert", before.id), ("audit", "line-1"), ("audit", "line-2"), ("insert", after.id),
    ]  # fmt: skip
    assert [placeless(each)[2:] for each in waiting[1:3]] == [(0, "", b"one"), (0, "", b"two")]
    await queue.applied(waiting)
    await queue.append([])
    assert await queue.outbox_depth() == 0
    assert await queue.depth("default") == 2
