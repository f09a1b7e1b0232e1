"""The outbox applied: in order, once, fenced, whatever was applied before and whoever applies it too."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.outcome import Expired, Released, Succeeded, Unbegun
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import Claim, NewTask, Settlement, Task
from orchestrator.ledger import outbox
from orchestrator.ledger.outbox import Applied, Record
from orchestrator.ledger.pool import open_pool
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
    results,
    told,
    unknown_id,
)


def insert(task: NewTask) -> Record:
    return RecordKind.INSERT, task.id, outbox.inserted(task)


def start(claim: Claim) -> Record:
    return RecordKind.START, claim.entry.id, outbox.started(claim)


def tell(task: NewTask, fence: int, number: int, data: bytes = b'"hello"') -> Record:
    return RecordKind.TELL, task.id, outbox.told(replace(told(task, fence, number, data), at=task.created_at))


def step(claim: Claim, name: str, result: bytes) -> Record:
    return RecordKind.STEP, claim.entry.id, outbox.step(claim, name, result)


def settle(ending: Settlement) -> Record:
    return RecordKind.SETTLE, ending.claim.entry.id, outbox.settled(ending)


async def read(ledger: PostgresLedger, task: NewTask) -> Task:
    found = await ledger.read(TENANT, task.id)
    assert found is not None
    return found


async def everything(pool: asyncpg.Pool) -> list[list[asyncpg.Record]]:
    return [
        await pool.fetch(f"select * from orchestrator_{table} order by 1, 2")
        for table in ("tasks", "runs", "events", "steps")
    ]


async def forget_all(pool: asyncpg.Pool) -> None:
    await pool.execute("truncate orchestrator_tasks, orchestrator_runs, orchestrator_events, orchestrator_steps")


def lives() -> list[Record]:
    """Records of tasks that lived through all sorts of things, mixed as they come into the stream."""
    retried, released, broken, expired, brief, open_ = (new_task(tags={"n": str(n)}) for n in range(6))
    first, second = claim_of(retried, 5), claim_of(retried, 9, 2, worker="w2")
    stories = [
        [
            insert(retried), start(first), tell(retried, 5, 1), step(first, "fetch", b'{"page": 1}'),
            tell(retried, 5, 2), settle(ending_of(first, failed(FLAKY))), start(second), step(second, "send", b"null"),
            tell(retried, 9, 1), settle(ending_of(second, Succeeded(b'{"n":\n1.0}'), progress=b'{"fraction": 1.0}')),
        ],
        [
            insert(released), start(claim_of(released, 6)), settle(ending_of(claim_of(released, 6), Released())),
            settle(ending_of(claim_of(released, 7), Unbegun())), settle(ending_of(claim_of(released, 8))),
        ],
        [insert(broken), settle(ending_of(claim_of(broken, 5), failed(BROKEN)))],
        [insert(expired), settle(ending_of(claim_of(expired, 5), Expired()))],
        [
            insert(brief), start(claim_of(brief, 5)), settle(crashed(brief, 8, lost=5)), start(claim_of(brief, 9, 2)),
            step(claim_of(brief, 9, 2), "fetch", b"[]"),
        ],
        [insert(open_), settle(ending_of(claim_of(open_, 5), failed(FLAKY)))],
    ]  # fmt: skip
    return [story[place] for place in range(10) for story in stories if place < len(story)]


Shuffle = Callable[[list[Record]], list[list[Record]]]


def in_pieces_of(size: int) -> Shuffle:
    return lambda records: [records[place : place + size] for place in range(0, len(records), size)]


async def applied(ledger: PostgresLedger, records: Sequence[Record]) -> Applied:
    """Apply what nobody is expected to object to."""
    answer = await outbox.apply(ledger, records)
    assert (answer.written, answer.stale, answer.refused) == (len(records), [], [])
    return answer


async def test_records_leave_the_rows_that_direct_writes_leave(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    task = new_task(idempotency_key="k", key_expires_at=CLOCK.now() + timedelta(days=1), tags={"team": "docs"})
    first, second = claim_of(task, 5), claim_of(task, 6, 2)
    event = replace(told(task, 5, 1), at=task.created_at)
    endings = [ending_of(first, Released()), ending_of(second, progress=b'{"fraction": 1.0}')]
    await ledger.insert([task])
    await ledger.start([first])
    await ledger.tell([event])
    await ledger.save_step(first, "fetch", b'{"page": 1}')
    await ledger.settle(endings[:1])
    await ledger.settle(endings[1:])
    direct = await everything(pool)
    await forget_all(pool)
    story = [insert(task), start(first), tell(task, 5, 1, event.data), step(first, "fetch", b'{"page": 1}')]
    await applied(ledger, [*story, *map(settle, endings)])
    late = await everything(pool)
    assert late[:3] == direct[:3]
    assert [row[:5] for row in map(tuple, late[3])] == [row[:5] for row in map(tuple, direct[3])]


@pytest.mark.parametrize("cut", [in_pieces_of(1), in_pieces_of(4), in_pieces_of(100)], ids=["single", "few", "all"])
async def test_how_the_stream_is_cut_into_batches_makes_no_difference(
    pool: asyncpg.Pool, ledger: PostgresLedger, cut: Shuffle
) -> None:
    records = lives()
    for batch in cut(records):
        await applied(ledger, batch)
    found = await pool.fetch("select status::text, attempt, crashes, fence from orchestrator_tasks order by id")
    assert [tuple(row) for row in found] == [
        ("succeeded", 2, 0, 9), ("succeeded", 1, 0, 8), ("failed", 1, 0, 5), ("expired", 0, 0, 5), ("running", 2, 1, 9),
        ("retrying", 1, 0, 5),
    ]  # fmt: skip
    ran = await pool.fetch("select status::text, fence from orchestrator_runs order by task_id, fence")
    assert [tuple(row) for row in ran] == [
        ("failed", 5), ("succeeded", 9), ("released", 6), ("succeeded", 8), ("failed", 5), ("crashed", 5),
        ("running", 9), ("failed", 5),
    ]  # fmt: skip
    assert await pool.fetchval("select count(*) from orchestrator_events") == 3
    assert await pool.fetchval("select count(*) from orchestrator_steps") == 3


async def test_any_part_that_is_applied_again_changes_nothing(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    records = lives()
    await applied(ledger, records)
    await pool.execute("update orchestrator_tasks set status = 'queued' where status = 'retrying'")  # it became due
    before = await everything(pool)
    for first in range(len(records)):
        for last in range(first + 1, len(records) + 1, 5):
            answer = await outbox.apply(ledger, records[first:last])
            assert await everything(pool) == before
            assert len(answer.stale) <= 1, "only an ending that left no run is taken for stale"
            assert answer.written + len(answer.stale) == last - first


async def test_what_was_applied_half_is_completed(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    """The relay died between two statements, or after a commit: another begins with the oldest record again."""
    records = lives()
    await applied(ledger, records)
    whole = await everything(pool)
    for last in range(0, len(records), 3):
        await forget_all(pool)
        await outbox.apply(ledger, records[:last])
        answer = await outbox.apply(ledger, records)
        assert (answer.refused, answer.conflicts) == ([], [])
        assert len(answer.stale) <= 1, "only an ending that left no run is taken for stale"
        again = await everything(pool)
        assert again[0] == whole[0]
        assert again[1:3] == whole[1:3]


async def test_two_relays_with_the_same_records_do_no_harm(pool: asyncpg.Pool, database_url: str) -> None:
    opened = await open_pool(database_url, size=6)
    records = [record for _ in range(10) for record in lives()]
    keyed = [new_task(idempotency_key=f"k{number % 7}") for number in range(30)]
    records += [insert(task) for task in keyed]
    relays = [PostgresLedger(opened) for _ in range(3)]
    answers = await asyncio.gather(*[outbox.apply(relay, records) for relay in relays])
    assert {answer.written + len(answer.stale) for answer in answers} == {len(records)}
    assert not any(answer.refused for answer in answers)
    together = await everything(pool)
    await forget_all(pool)
    await applied(relays[0], records)
    alone = await everything(pool)
    held = [{row["id"]: row["key_held"] for row in rows[0]} for rows in (together, alone)]
    assert held[0] == held[1]
    assert together[:3] == alone[:3]
    await opened.close()


@pytest.mark.parametrize("newer", ["started", "ended", "cancelled", "reopened"])
async def test_an_old_attempt_applied_again_moves_nothing_back(
    pool: asyncpg.Pool, ledger: PostgresLedger, newer: str
) -> None:
    task = new_task()
    old = [
        insert(task),
        start(claim_of(task, 5)),
        tell(task, 5, 1),
        settle(ending_of(claim_of(task, 5), failed(FLAKY))),
    ]
    await applied(ledger, old)
    if newer == "started":
        await ledger.start([claim_of(task, 9, 2)])
    elif newer == "cancelled":
        await ledger.cancel(TENANT, task.id, Fence(9))
    else:
        await ledger.settle([ending_of(claim_of(task, 9, 2), failed(BROKEN))])
    if newer == "reopened":
        await ledger.reopen(TENANT, [task.id], Fence(12), [None])
    before = await everything(pool)
    await applied(ledger, old)
    assert await everything(pool) == before


async def test_what_is_stale_is_told_by_its_place_and_changes_nothing(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    task, fresh, unknown = new_task(), new_task(), new_task(id=unknown_id())
    await ledger.insert([task])
    await ledger.start([claim_of(task, 9)])
    before = await everything(pool)
    old = claim_of(task, 5)
    records = [
        start(old),
        tell(task, 5, 1),
        step(old, "fetch", b"1"),
        settle(ending_of(old)),
        settle(ending_of(claim_of(unknown, 5))),
    ]
    answer = await outbox.apply(ledger, records)
    assert (answer.written, sorted(answer.stale)) == (0, [0, 1, 2, 3, 4])
    tasks, runs, *_ = await everything(pool)
    assert [tasks, runs] == before[:2]
    answer = await outbox.apply(ledger, [insert(fresh), *records, settle(ending_of(claim_of(fresh, 5)))])
    assert (answer.written, sorted(answer.stale)) == (3, [1, 3, 4, 5])  # the event is in the history


async def test_an_attempt_that_a_direct_one_overtook_stays_in_the_history(ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    await ledger.settle([ending_of(claim_of(task, 9, 2), Succeeded(b"2"))])
    overtaken = [tell(task, 5, 1), settle(ending_of(claim_of(task, 5), failed(FLAKY)))]
    for _ in range(2):
        await outbox.apply(ledger, overtaken)
    assert [(run.fence, run.status) for run in await ledger.runs(TENANT, task.id)] == [
        (5, RunStatus.FAILED),
        (9, RunStatus.SUCCEEDED),
    ]
    told_then = await ledger.events(TENANT, task.id, -1, 100)
    assert [event.fence for event in told_then if event.data == "hello"] == [5]
    found = await read(ledger, task)
    assert (found.status, found.result, found.fence) == (State.SUCCEEDED, 2, 9)


async def test_what_began_after_the_end_and_crashed_is_in_no_history(ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    await ledger.settle([ending_of(claim_of(task, 5))])
    answer = await outbox.apply(ledger, [settle(crashed(task, 9, lost=7, attempt=2))])
    assert answer.stale == [0]
    assert [run.fence for run in await ledger.runs(TENANT, task.id)] == [5]


async def test_a_success_that_was_overtaken_is_in_no_history(ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    await ledger.settle([ending_of(claim_of(task, 9, 2), Succeeded(b"2"))])
    await outbox.apply(ledger, [settle(ending_of(claim_of(task, 5), Succeeded(b"1")))])
    assert [run.fence for run in await ledger.runs(TENANT, task.id)] == [9]


async def test_an_attempt_that_was_taken_over_is_stale_though_its_run_is_on_record(ledger: PostgresLedger) -> None:
    task = new_task()
    await applied(ledger, [insert(task), settle(crashed(task, 8, lost=5))])
    answer = await outbox.apply(ledger, [settle(ending_of(claim_of(task, 5)))])
    assert answer.stale == [0]


async def test_many_notes_of_one_task_are_written_at_once(
    pool: asyncpg.Pool, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = new_task()
    claim = claim_of(task, 5)
    notes = [note for n in range(1, 201) for note in (tell(task, 5, n), step(claim, f"s{n % 9}", b"%d" % n))]
    calls: list[int] = []
    tell_all = ledger.tell

    async def counted(events: Sequence[Any]) -> list[bool]:
        calls.append(len(events))
        return await tell_all(events)

    monkeypatch.setattr(ledger, "tell", counted)
    await applied(ledger, [insert(task), start(claim), *notes, settle(ending_of(claim))])
    assert calls == [200]
    assert len(await ledger.events(TENANT, task.id, -1, 1000)) == 203
    assert await results(ledger, task.id) == {f"s{n % 9}": b"%d" % n for n in range(1, 10)}


async def test_a_late_retry_is_due_by_its_end_and_not_by_now(ledger: PostgresLedger) -> None:
    task = new_task()
    ending = ending_of(claim_of(task, 5), failed(FLAKY))
    assert ending.delay_us == 1_000_000
    await applied(ledger, [insert(task), settle(ending)])
    ended_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=BEGAN_US + 5) + timedelta(seconds=2)
    assert (await read(ledger, task)).run_at == ended_at + timedelta(seconds=1)


@pytest.mark.parametrize("outcome", ["crashed", "expired"])
async def test_a_late_end_that_nobody_saw_is_when_it_was_noticed(ledger: PostgresLedger, outcome: str) -> None:
    task = new_task()
    ending = crashed(task, 8, 5, crashes=2) if outcome == "crashed" else ending_of(claim_of(task, 8), Expired())
    await applied(ledger, [insert(task), settle(ending)])
    noticed_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=BEGAN_US + 8 + ending.duration_us)
    assert (await read(ledger, task)).finished_at == noticed_at


@pytest.mark.parametrize("culprit", [b"{", b'"\xed\xa0\x80"', b'{"n":}'])
async def test_a_result_that_cannot_be_stored_fails_its_task_and_no_other(
    pool: asyncpg.Pool, ledger: PostgresLedger, culprit: bytes
) -> None:
    tasks = [new_task() for _ in range(9)]
    results = [b"1"] * 4 + [culprit] + [b"1"] * 4
    endings = [
        settle(ending_of(claim_of(task, 5), Succeeded(result))) for task, result in zip(tasks, results, strict=True)
    ]
    records = [*map(insert, tasks), *endings]
    answer = await outbox.apply(ledger, records)
    assert (answer.written, answer.stale) == (17, [])
    assert [refused.place for refused in answer.refused] == [13]
    assert answer.refused[0].reason
    states = [(await read(ledger, task)).status for task in tasks]
    assert states == [State.SUCCEEDED] * 4 + [State.FAILED] + [State.SUCCEEDED] * 4
    before = await everything(pool)
    assert (await outbox.apply(ledger, records)).stale == []
    assert await everything(pool) == before
    found = await read(ledger, tasks[4])
    assert found.error is not None
    assert (found.error["type"], found.error["fingerprint"]) == ("ResultNotStorable", "unstorable:resize")
    assert [run.status for run in await ledger.runs(TENANT, found.id)] == [RunStatus.FAILED]


async def test_bad_records_of_every_kind_are_named_and_hold_nothing_up(ledger: PostgresLedger) -> None:
    good, bad = [new_task() for _ in range(4)], new_task(payload=b"{")
    claim = claim_of(good[0], 5)
    records = [
        insert(good[0]), insert(bad), insert(good[1]), insert(new_task(priority=77)),
        insert(replace(new_task(), type="nul\0")), (RecordKind.SETTLE, good[1].id, b"no record"),
        start(claim_of(good[1], 2**63)), tell(good[0], 5, 1, b"{"), tell(good[0], 5, 2),
        step(claim, "fetch", b"{"), step(claim, "send", b"1"),
        (RecordKind.WITHDRAW, unknown_id(), outbox.withdrawn(TaskId("nobody"))), insert(good[2]),
        settle(ending_of(claim)), insert(good[3]),
    ]  # fmt: skip
    answer = await outbox.apply(ledger, records)
    assert sorted(refused.place for refused in answer.refused) == [1, 3, 4, 5, 6, 7, 9, 11]
    assert all(refused.reason for refused in answer.refused)
    assert (answer.written, answer.stale) == (7, [])
    assert (await read(ledger, good[0])).status is State.SUCCEEDED
    assert await results(ledger, good[0].id) == {"send": b"1"}
    assert await ledger.known([task.id for task in [*good, bad]]) == {task.id for task in good}


async def test_a_postgres_that_is_away_is_unavailable(database_url: str) -> None:
    closed = await open_pool(database_url)
    await closed.close()
    with pytest.raises(Unavailable):
        await outbox.apply(PostgresLedger(closed), [insert(new_task())])
