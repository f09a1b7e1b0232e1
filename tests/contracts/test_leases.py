"""Who may run a task, and what becomes of it: the promise of port.Queue."""

import pytest

from orchestrator.domain.ids import Fence
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import Claim, Entry
from orchestrator.queue.port import Queue
from tests.contracts.conftest import Bench
from tests.queue.entries import HOLD_MS, HOUR_US, ONE, SWEEPER, TWO, ending, entry

FINAL = (State.SUCCEEDED, State.FAILED, State.EXPIRED, State.WAITING)


async def claimed(queue: Queue, *entries: Entry, hold_ms: int = HOLD_MS) -> list[Claim]:
    await queue.enqueue(entries)
    return await queue.claim(ONE, "default", len(entries), hold_ms)


def lease(claim: Claim) -> tuple[str, Fence]:
    return claim.entry.id, claim.fence


async def lapsed(bench: Bench, *entries: Entry) -> list[Claim]:
    """Claim tasks and let the leases run out."""
    claims = await claimed(bench.queue, *entries, hold_ms=1)
    await bench.pass_ms(2)
    return claims


@pytest.mark.parametrize("state", FINAL)
async def test_a_task_that_ended_or_waits_is_forgotten(queue: Queue, state: State) -> None:
    (claim,) = await claimed(queue, entry())
    assert await queue.settle(ONE, [ending(claim, state)]) == [True]
    assert await queue.missing([claim.entry.id]) == [claim.entry.id]
    assert await queue.settle(ONE, [ending(claim, state)]) == [False]
    assert await queue.extend(ONE, [lease(claim)], HOLD_MS) == [claim.entry.id]
    assert [figures.running for figures in await queue.queues()] == [0]


async def test_a_failed_attempt_is_tried_again_when_it_is_due(bench: Bench) -> None:
    queue = bench.queue
    (claim,) = await claimed(queue, entry(crashes=1, attempt=1))
    assert await queue.settle(ONE, [ending(claim, State.RETRYING, delay_us=20_000)]) == [True]
    live = (await queue.live([claim.entry.id]))[claim.entry.id]
    assert (live.status, live.attempt, live.worker, live.fence) == (State.RETRYING, 2, None, 0)
    assert await queue.promote(5) == []
    await bench.pass_ms(30)
    assert await queue.promote(5) == [claim.entry.id]
    (again,) = await queue.claim(TWO, "default", 5, HOLD_MS)
    assert (again.attempt, again.entry.attempt, again.entry.crashes) == (3, 2, 1)
    assert again.fence > claim.fence
    assert again.settled_epoch


async def test_a_released_task_goes_back_to_its_place_and_loses_no_attempt(queue: Queue) -> None:
    (first,) = await claimed(queue, entry())
    await queue.enqueue([second := entry()])
    assert await queue.settle(ONE, [ending(first, State.QUEUED)]) == [True]
    assert (await queue.live([first.entry.id]))[first.entry.id].status is State.QUEUED
    claims = await queue.claim(TWO, "default", 5, HOLD_MS)
    assert [(claim.entry.id, claim.attempt) for claim in claims] == [(first.entry.id, 1), (second.id, 1)]
    assert claims[0].entry.ready_at_us == first.entry.ready_at_us


async def test_a_released_task_wakes_a_waiting_worker(queue: Queue) -> None:
    (claim,) = await claimed(queue, entry())
    await queue.settle(ONE, [ending(claim, State.QUEUED)])
    assert await queue.depth("default") == 1
    assert await queue.pop(["default"], 1) is not None
    assert await queue.put_back(5) == [claim.entry.id]


async def test_a_lease_that_is_extended_is_not_taken_over(bench: Bench) -> None:
    queue = bench.queue
    (claim,) = await claimed(queue, entry(), hold_ms=40)
    assert await queue.extend(ONE, [lease(claim)], HOLD_MS) == []
    await bench.pass_ms(50)
    assert await queue.take_over(SWEEPER, 5, HOLD_MS) == ([], [])


async def test_a_lease_that_ran_out_is_still_its_worker_s_until_it_is_taken_over(bench: Bench) -> None:
    kept, settled, moved = await lapsed(bench, entry(), entry(), entry())
    queue = bench.queue
    assert await queue.extend(TWO, [lease(kept)], HOLD_MS) == [kept.entry.id]
    assert await queue.extend(ONE, [lease(kept)], HOLD_MS) == []
    assert await queue.settle(ONE, [ending(settled)]) == [True]
    (over,), _ = await queue.take_over(SWEEPER, 5, HOLD_MS)
    assert over.entry.id == moved.entry.id
    assert await queue.extend(ONE, [lease(kept), lease(moved)], HOLD_MS) == [moved.entry.id]


async def test_a_lost_lease_changes_nothing(bench: Bench) -> None:
    queue = bench.queue
    old = await lapsed(bench, entry(), entry(), entry())
    new, _ = await queue.take_over(SWEEPER, 5, HOLD_MS)
    states = (State.SUCCEEDED, State.RETRYING, State.QUEUED)
    assert (
        await queue.settle(ONE, [ending(claim, state) for claim, state in zip(old, states, strict=True)]) == [False] * 3
    )
    assert await queue.settle(SWEEPER, [ending(claim) for claim in new]) == [True] * 3


async def test_taking_over_is_no_attempt_and_carries_the_lost_fence(bench: Bench) -> None:
    queue = bench.queue
    (lost,) = await lapsed(bench, entry(crashes=1, attempt=1))
    (newer,) = await claimed(queue, entry())
    (over,), _ = await queue.take_over(SWEEPER, 5, HOLD_MS)
    assert (over.entry, over.attempt, over.worker) == (lost.entry, lost.attempt, SWEEPER)
    assert over.lost == lost.fence < newer.fence < over.fence
    assert (await queue.live([over.entry.id]))[over.entry.id].worker == SWEEPER
    back = ending(over, State.QUEUED, attempt=over.attempt, crashes=2, run_status=RunStatus.CRASHED)
    assert await queue.settle(SWEEPER, [back]) == [True]
    (again,) = await queue.claim(TWO, "default", 5, HOLD_MS)
    assert (again.attempt, again.entry.crashes) == (3, 2)
    assert again.entry.ready_at_us == lost.entry.ready_at_us


async def test_a_task_that_had_started_does_not_expire_when_its_worker_is_lost(bench: Bench) -> None:
    await lapsed(bench, entry(expires_at_us=await bench.now_us() - 1))
    (over,), _ = await bench.queue.take_over(SWEEPER, 5, HOLD_MS)
    assert not over.expired


async def test_a_take_over_whose_sweeper_died_is_taken_over_again_with_the_run_that_was_lost(bench: Bench) -> None:
    (lost,) = await lapsed(bench, entry())
    (first,), _ = await bench.queue.take_over(SWEEPER, 5, 1)
    await bench.pass_ms(2)
    (second,), _ = await bench.queue.take_over(SWEEPER, 5, HOLD_MS)
    assert second.lost == first.lost == lost.fence < first.fence < second.fence


async def test_taking_over_stops_at_its_limit(bench: Bench) -> None:
    await lapsed(bench, entry(), entry(), entry())
    assert [len((await bench.queue.take_over(SWEEPER, 2, HOLD_MS))[0]) for _ in range(3)] == [2, 1, 0]


async def test_a_dropped_task_is_forgotten_wherever_it_was(bench: Bench) -> None:
    queue = bench.queue
    running, waiting, later = entry(priority=0), entry(), entry(ready_at_us=await bench.now_us() + HOUR_US)
    (claim,) = await claimed(queue, running)
    await queue.enqueue([waiting, later])
    await queue.drop([running.id, waiting.id, later.id, entry().id])
    assert await queue.live([running.id, waiting.id, later.id]) == {}
    assert await queue.claim(TWO, "default", 5, HOLD_MS) == []
    assert await queue.extend(ONE, [lease(claim)], HOLD_MS) == [running.id]
    assert await queue.settle(ONE, [ending(claim)]) == [False]
    assert await queue.missing([running.id, waiting.id]) == [waiting.id]  # the tombstone keeps it from being rebuilt


async def test_a_dropped_task_can_be_replayed_at_once(queue: Queue) -> None:
    (old,) = await claimed(queue, task := entry())
    await queue.drop([task.id])
    assert await queue.enqueue([task]) == [True]
    assert await queue.extend(ONE, [lease(old)], HOLD_MS) == [task.id]
    (new,) = await queue.claim(TWO, "default", 5, HOLD_MS)
    assert new.fence > old.fence


async def test_an_emptied_queue_learns_its_leases_again(bench: Bench) -> None:
    running, dropped = await claimed(bench.queue, entry(), entry())
    await bench.queue.drop([dropped.entry.id])
    await bench.empty()
    queue = bench.queue
    assert await queue.extend(ONE, [lease(running)], HOLD_MS) == []
    assert await queue.open_epoch(2)
    assert await queue.extend(ONE, [lease(running)], HOLD_MS) == []
    assert await queue.extend(TWO, [lease(running)], HOLD_MS) == [running.entry.id]
    assert await queue.missing([running.entry.id]) == []
    assert await queue.enqueue([running.entry]) == [False]
    assert await queue.settle(ONE, [ending(running)]) == [True]
    assert await queue.missing([running.entry.id]) == [running.entry.id]


async def test_a_retry_survives_that_the_queue_was_emptied(bench: Bench) -> None:
    failed, released = await claimed(bench.queue, entry(attempt=2), entry())
    await bench.queue.enqueue([entry(queue="mails")])
    (mail,) = await bench.queue.claim(ONE, "mails", 1, HOLD_MS)
    await bench.empty()
    queue = bench.queue
    await queue.open_epoch(2)
    endings = [ending(failed, State.RETRYING, delay_us=0), ending(released, State.QUEUED), ending(mail, State.QUEUED)]
    assert await queue.settle(ONE, endings) == [True] * 3
    await bench.pass_ms(1)
    assert await queue.promote(5) == [failed.entry.id]
    claims = {claim.entry.id: claim for claim in await queue.claim(TWO, "default", 5, HOLD_MS)}
    assert claims[failed.entry.id].attempt == 4
    assert claims[released.entry.id].attempt == 1
    assert await queue.names() == ["default", "mails"]


async def test_a_lease_the_rebuilt_queue_gave_away_is_lost(bench: Bench) -> None:
    (old,) = await claimed(bench.queue, task := entry())
    await bench.empty()
    queue = bench.queue
    await queue.open_epoch(2)
    await queue.enqueue([task])
    assert await queue.extend(ONE, [lease(old)], HOLD_MS) == [task.id]
    assert await queue.settle(ONE, [ending(old)]) == [False]


async def test_an_asserted_lease_that_runs_out_is_removed_and_its_task_handed_back(bench: Bench) -> None:
    (old,) = await claimed(bench.queue, task := entry())
    await bench.empty()
    queue = bench.queue
    await queue.extend(ONE, [lease(old)], 1)
    await queue.open_epoch(2)
    await bench.pass_ms(2)
    assert await queue.missing([task.id]) == [task.id]
    assert await queue.take_over(SWEEPER, 5, HOLD_MS) == ([], [task.id])
    assert await queue.take_over(SWEEPER, 5, HOLD_MS) == ([], [])
    assert await queue.enqueue([task]) == [True]
    assert [claim.entry.id for claim in await queue.claim(TWO, "default", 5, HOLD_MS)] == [task.id]


async def test_a_worker_forgets_what_it_still_leases_and_nothing_else(bench: Bench) -> None:
    queue = bench.queue
    kept, lapsing = await lapsed(bench, entry(), entry())
    assert await queue.extend(ONE, [lease(kept)], HOLD_MS) == []
    assert await queue.forget(TWO, [lease(kept), lease(lapsing)]) == []
    assert await queue.forget(ONE, [lease(kept), lease(lapsing)]) == [kept.entry.id, lapsing.entry.id]
    assert await queue.forget(ONE, [lease(kept)]) == []
    assert await queue.leased() == []
    assert await queue.enqueue([kept.entry]) == [True]
    assert [claim.entry.id for claim in await queue.claim(TWO, "default", 5, HOLD_MS)] == [kept.entry.id]


async def test_a_task_that_was_taken_over_or_dropped_is_not_forgotten(bench: Bench) -> None:
    queue = bench.queue
    over, dropped = await lapsed(bench, entry(), entry())
    await queue.drop([dropped.entry.id])
    await queue.take_over(SWEEPER, 5, HOLD_MS)
    assert await queue.forget(ONE, [lease(over), lease(dropped)]) == []
    assert await queue.leased() == [over.entry.id]


async def test_an_emptied_queue_has_nothing_to_forget(bench: Bench) -> None:
    (claim,) = await claimed(bench.queue, entry())
    await bench.empty()
    await bench.queue.open_epoch(2)
    assert await bench.queue.forget(ONE, [lease(claim)]) == []


async def test_leases_are_listed_in_the_order_they_run_out(queue: Queue) -> None:
    (late,) = await claimed(queue, entry(), hold_ms=2 * HOLD_MS)
    (soon,) = await claimed(queue, entry())
    await queue.enqueue([entry()])
    assert await queue.leased() == [soon.entry.id, late.entry.id]


async def test_extending_nothing_and_settling_nothing_are_fine(queue: Queue) -> None:
    assert await queue.extend(ONE, [], HOLD_MS) == []
    assert await queue.settle(ONE, []) == []
    assert await queue.settle(ONE, [], [("tasks_total", "a", 1.0)]) == []
    assert await queue.enqueue([]) == []
