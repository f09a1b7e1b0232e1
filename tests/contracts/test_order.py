"""What waits, in which order, and what is handed out: the promise of port.Queue."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.domain.states import State
from orchestrator.domain.task import Entry
from orchestrator.queue.port import EpochMissing, Popped, Queue, QueuePaused
from tests.contracts.conftest import Bench
from tests.queue.entries import HOLD_MS, HOUR_US, ONE, STEP_US, TWO, ending, entry


async def claimed_ids(queue: Queue, name: str = "default") -> list[str]:
    return [claim.entry.id for claim in await queue.claim(ONE, name, 100, HOLD_MS)]


def ids(*entries: Entry) -> list[str]:
    return [each.id for each in entries]


async def test_the_lowest_number_is_first_and_inside_a_priority_the_first_in(queue: Queue) -> None:
    low, first, second, high = entry(priority=9), entry(), entry(), entry(priority=0)
    assert await queue.enqueue([low]) == [True]
    assert await queue.enqueue([second, first]) == [True, True]
    assert await queue.enqueue([high]) == [True]
    claims = await queue.claim(ONE, "default", 100, HOLD_MS)
    assert [claim.entry.id for claim in claims] == ids(high, second, first, low)
    told = [claim.claimed_at_us for claim in claims]
    assert told == sorted(set(told)), "who looks at the times sees the order"
    live = await queue.live(ids(high, low))
    assert [live[each.id].started_at_us for each in (high, low)] == [told[0], told[-1]]


async def test_a_step_of_waiting_is_worth_one_priority(bench: Bench) -> None:
    old = entry(priority=7, ready_at_us=await bench.now_us() - 2 * STEP_US - 1_000_000)
    await bench.queue.enqueue([new := entry(priority=5), old])
    assert await claimed_ids(bench.queue) == ids(old, new)


async def test_tasks_ready_at_the_same_moment_go_by_id(bench: Bench) -> None:
    ready = await bench.now_us() - HOUR_US
    first, second = entry(ready_at_us=ready), entry(ready_at_us=ready)
    await bench.queue.enqueue([second])
    await bench.queue.enqueue([first])
    assert await claimed_ids(bench.queue) == ids(first, second)


async def test_a_task_that_is_held_already_stays_as_it_is(queue: Queue) -> None:
    waiting, running, later = entry(), entry(priority=0), entry(ready_at_us=9_000_000_000_000_000)
    await queue.enqueue([waiting, running, later])
    await queue.claim(ONE, "default", 1, HOLD_MS)
    again = [replace(each, payload=b"{}", ready_at_us=None) for each in (waiting, running, later)]
    assert await queue.enqueue(again) == [False, False, False]
    assert await queue.enqueue([fresh := entry(), fresh]) == [True, False]
    (claim, _) = await queue.claim(ONE, "default", 9, HOLD_MS)
    assert claim.entry.payload == waiting.payload


async def test_a_delayed_task_waits_aside_until_it_is_due(bench: Bench) -> None:
    queue, due = bench.queue, await bench.now_us() + 40_000
    soon, later = entry(ready_at_us=due), entry(ready_at_us=due + HOUR_US, retrying=True)
    await queue.enqueue([soon, later])
    assert await queue.promote(10) == []
    assert await claimed_ids(queue) == []
    live = await queue.live(ids(soon, later))
    assert [live[each.id].status for each in (soon, later)] == [State.SCHEDULED, State.RETRYING]
    standing = await queue.standing(later.id)
    assert standing.rank is None
    assert 0 < (standing.due_in_us or 0) <= HOUR_US + 40_000
    await queue.enqueue([now := entry()])
    await bench.pass_ms(50)
    assert await queue.promote(10) == [soon.id]
    assert (await queue.live([soon.id]))[soon.id].status is State.QUEUED
    claims = await queue.claim(ONE, "default", 10, HOLD_MS)
    assert [claim.entry.id for claim in claims] == ids(now, soon)  # its place is the moment it was due
    assert claims[1].entry.ready_at_us == due


async def test_promoting_stops_at_its_limit(bench: Bench) -> None:
    due = await bench.now_us() + 20_000
    tasks = [entry(ready_at_us=due + place) for place in range(3)]
    await bench.queue.enqueue(tasks)
    await bench.pass_ms(30)
    assert await bench.queue.promote(2) == ids(*tasks[:2])
    assert await bench.queue.promote(2) == ids(tasks[2])


async def test_a_claim_carries_all_of_the_entry(bench: Bench) -> None:
    ready = await bench.now_us() - 5_000_000
    full = entry(
        tenant="ténant \"x\"", type="a.b", queue="mails", priority=3, payload=b'{"t":"\xc3\xa9"}', max_retries=2,
        timeout_seconds=1.5, attempt=4, crashes=1, ready_at_us=ready, expires_at_us=ready + HOUR_US,
    )  # fmt: skip
    await bench.queue.enqueue([full])
    before = await bench.now_us()
    (claim,) = await bench.queue.claim(ONE, "mails", 1, HOLD_MS)
    assert claim.entry == full
    assert (claim.attempt, claim.worker, claim.settled_epoch, claim.expired, claim.lost) == (5, ONE, True, False, None)
    assert before <= claim.claimed_at_us <= await bench.now_us()
    assert claim.waited_us == claim.claimed_at_us - ready


async def test_a_claim_takes_no_more_than_asked_for_and_only_from_its_queue(queue: Queue) -> None:
    await queue.enqueue([entry(queue="mails"), *(tasks := [entry(), entry(), entry()])])
    assert [claim.entry.id for claim in await queue.claim(ONE, "default", 2, HOLD_MS)] == ids(*tasks[:2])
    assert await claimed_ids(queue) == ids(tasks[2])
    assert await queue.claim(ONE, "nobody-knows", 2, HOLD_MS) == []


async def test_the_popped_task_is_claimed_first_and_fills_a_slot(queue: Queue) -> None:
    await queue.enqueue([first := entry(), second := entry(), entry()])
    assert await queue.pop(["mails", "default"], 1) == Popped("default", first.id)
    claims = await queue.claim(ONE, "default", 2, HOLD_MS, first.id)
    assert [claim.entry.id for claim in claims] == ids(first, second)


async def test_a_popped_task_that_somebody_else_claimed_is_not_claimed_twice(queue: Queue) -> None:
    await queue.enqueue([task := entry()])
    await queue.pop(["default"], 1)
    assert await queue.put_back(10) == [task.id]
    assert await claimed_ids(queue) == [task.id]
    assert await queue.claim(TWO, "default", 5, HOLD_MS, task.id) == []


async def test_a_popped_task_that_was_put_back_meanwhile_is_claimed_once(queue: Queue) -> None:
    await queue.enqueue([task := entry()])
    await queue.pop(["default"], 1)
    await queue.put_back(10)
    assert [claim.entry.id for claim in await queue.claim(ONE, "default", 5, HOLD_MS, task.id)] == [task.id]
    assert await queue.pop(["default"], 0.01) is None


async def test_a_popped_task_that_was_dropped_is_not_claimed(queue: Queue) -> None:
    await queue.enqueue([task := entry()])
    await queue.pop(["default"], 1)
    await queue.drop([task.id])
    assert await queue.claim(ONE, "default", 5, HOLD_MS, task.id) == []
    assert await queue.missing([task.id]) == [task.id]


async def test_what_was_popped_and_never_claimed_is_put_back_in_its_place(queue: Queue) -> None:
    await queue.enqueue([first := entry(), second := entry(), mail := entry(queue="mails")])
    await queue.pop(["default"], 1)
    await queue.pop(["mails"], 1)
    assert sorted(await queue.put_back(10)) == sorted(ids(first, mail))
    assert await queue.put_back(10) == []
    assert await claimed_ids(queue) == ids(first, second)
    assert await claimed_ids(queue, "mails") == [mail.id]


async def test_what_waits_is_listed_in_order_from_any_place(queue: Queue) -> None:
    await queue.enqueue([last := entry(priority=9), first := entry(), popped := entry(priority=0)])
    await queue.enqueue([entry(queue="mails"), entry(ready_at_us=9_000_000_000_000_000)])
    await queue.pop(["default"], 1)
    assert await queue.pending("default", 0, 2) == ids(popped, first)
    assert await queue.pending("default", 2, 2) == ids(last)
    assert await queue.pending("default", 3, 2) == await queue.pending("unknown", 0, 2) == []


async def test_popping_waits_for_a_task_and_gives_up_in_time(queue: Queue) -> None:
    assert await queue.pop(["default", "mails"], 0.02) is None
    waiting = asyncio.create_task(queue.pop(["default", "mails"], 5))
    await asyncio.sleep(0.02)
    await queue.enqueue([task := entry(queue="mails")])
    assert await waiting == Popped("mails", task.id)


async def test_a_paused_queue_gives_nothing_and_keeps_what_was_popped(queue: Queue) -> None:
    await queue.enqueue([task := entry(queue="mails")])
    await queue.pop(["mails"], 1)
    await queue.pause("mails")
    with pytest.raises(QueuePaused):
        await queue.claim(ONE, "mails", 1, HOLD_MS, task.id)
    assert (await queue.standing(task.id)).paused
    await queue.resume("mails")
    assert await queue.pop(["mails"], 1) == Popped("mails", task.id)


async def test_nothing_is_claimed_without_an_epoch(bench: Bench) -> None:
    await bench.empty()
    queue = bench.queue
    await queue.enqueue([task := entry()])
    await queue.pop(["default"], 1)
    assert await queue.epoch() is None
    for act in (queue.claim(ONE, "default", 1, HOLD_MS, task.id), queue.take_over(ONE, 1, HOLD_MS), queue.mint()):
        with pytest.raises(EpochMissing):
            await act
    assert await queue.pop(["default"], 1) == Popped("default", task.id)


async def test_only_a_higher_epoch_opens_and_raises_every_fence(queue: Queue) -> None:
    await queue.enqueue([entry(), entry()])
    fences = [claim.fence for claim in await queue.claim(ONE, "default", 2, HOLD_MS)]
    fences.append(await queue.mint())
    assert await queue.open_epoch(1) is False
    assert await queue.open_epoch(3) is True
    assert await queue.open_epoch(2) is False
    assert await queue.epoch() == 3
    fences.append(await queue.mint())
    assert fences == [2**36 + 1, 2**36 + 2, 2**36 + 3, 3 * 2**36 + 1]


async def test_a_task_of_an_earlier_epoch_or_a_restored_one_is_marked(queue: Queue) -> None:
    await queue.enqueue([entry()])
    await queue.open_epoch(2)
    await queue.enqueue([entry(), entry(restored=True)])
    claims = await queue.claim(ONE, "default", 3, HOLD_MS)
    assert [claim.settled_epoch for claim in claims] == [False, True, False]


async def test_a_task_that_expired_before_its_first_start_is_marked(bench: Bench) -> None:
    past = await bench.now_us() - 1
    started = entry(expires_at_us=past, attempt=1)
    await bench.queue.enqueue([entry(expires_at_us=past), entry(expires_at_us=past + HOUR_US), started])
    claims = await bench.queue.claim(ONE, "default", 3, HOLD_MS)
    assert [claim.expired for claim in claims] == [True, False, False]


async def test_figures_and_standing_say_where_tasks_are(bench: Bench) -> None:
    queue, now = bench.queue, await bench.now_us()
    old = entry(ready_at_us=now - 8_000_000)
    await queue.enqueue([entry(queue="mails"), entry(priority=6), old, entry(ready_at_us=now + HOUR_US)])
    await queue.pause("resting")
    (running,) = await queue.claim(ONE, "mails", 1, HOLD_MS)
    mails, default, resting = sorted(
        await queue.queues(), key=lambda each: ("mails", "default", "resting").index(each.name)
    )
    assert (default.depth, default.running, default.paused) == (2, 0, False)
    assert 8_000_000 <= default.oldest_us < 20_000_000
    assert (mails.depth, mails.oldest_us, mails.running) == (0, 0, 1)
    assert (resting.depth, resting.paused) == (0, True)
    assert await queue.names() == ["default", "mails"]
    assert await queue.depth("default") == 2
    assert (await queue.standing(old.id)).rank == 0
    standing = await queue.standing(running.entry.id)
    assert (standing.queue, standing.rank, standing.due_in_us) == ("mails", None, None)
    assert standing.live is not None
    assert (standing.live.status, standing.live.fence, standing.live.worker) == (State.RUNNING, running.fence, ONE)
    assert standing.live.started_at_us == running.claimed_at_us
    assert (await queue.standing(entry().id)).live is None
    await queue.ping()


async def test_missing_names_what_is_neither_waiting_nor_running(queue: Queue) -> None:
    running, waiting, ended, unknown = entry(priority=1), entry(priority=3), entry(priority=2), entry()
    await queue.enqueue([running, waiting, ended])
    _, second = await queue.claim(ONE, "default", 2, HOLD_MS)
    await queue.settle(ONE, [ending(second)])
    assert await queue.missing(ids(running, waiting, ended, unknown)) == ids(ended, unknown)
    assert set(await queue.live(ids(running, waiting, ended, unknown))) == set(ids(running, waiting))
