"""Waiting for a task and holding it at once: the promise of port.Queue."""

import asyncio

import pytest

from orchestrator.queue.port import Popped, Queue
from tests.contracts.conftest import Bench
from tests.queue.entries import HOLD_MS, ONE, TWO, entry


@pytest.fixture(autouse=True)
async def known(queue: Queue) -> None:
    """A server that has not met the script yet leaves the claim to a call of its own."""
    await queue.claim(ONE, "nobody-knows", 1, HOLD_MS)


async def test_what_is_popped_is_leased_and_the_next_ones_with_it(queue: Queue) -> None:
    await queue.enqueue([first := entry(), second := entry(), third := entry(), entry(queue="mails")])
    popped, claims = await queue.pop_and_claim(ONE, ["default", "mails"], 2, HOLD_MS, 1)
    assert popped == Popped("default", first.id)
    assert [claim.entry.id for claim in claims] == [first.id, second.id]
    assert await queue.extend(ONE, [(claim.entry.id, claim.fence) for claim in claims], HOLD_MS) == []
    assert await queue.put_back(10) == []
    assert await queue.pop(["default"], 1) == Popped("default", third.id)


async def test_it_waits_on_several_queues_and_gives_up_in_time(queue: Queue) -> None:
    assert await queue.pop_and_claim(ONE, ["default", "mails"], 5, HOLD_MS, 0.02) == (None, [])
    waiting = asyncio.create_task(queue.pop_and_claim(ONE, ["default", "mails"], 5, HOLD_MS, 5))
    await asyncio.sleep(0)
    await queue.enqueue([task := entry(queue="mails")])
    popped, claims = await waiting
    assert popped == Popped("mails", task.id)
    assert [claim.entry.id for claim in claims] == [task.id]


async def test_what_another_popped_is_left_where_it_cannot_be_told_apart(queue: Queue) -> None:
    await queue.enqueue([lost := entry(), mine := entry(), other := entry(queue="mails")])
    await queue.pop(["default"], 1)
    assert await queue.pop_and_claim(TWO, ["mails", "default"], 5, HOLD_MS, 1) == (Popped("mails", other.id), [])
    assert await queue.pop_and_claim(TWO, ["default"], 5, HOLD_MS, 1) == (Popped("default", mine.id), [])
    for task, name in ((mine, "default"), (other, "mails")):
        assert [claim.entry.id for claim in await queue.claim(TWO, name, 1, HOLD_MS, task.id)] == [task.id]
    assert await queue.put_back(10) == [lost.id]


async def test_what_one_popped_and_never_claimed_goes_to_who_waits_in_vain(queue: Queue) -> None:
    await queue.enqueue([lost := entry()])
    await queue.pop(["default"], 1)
    popped, claims = await queue.pop_and_claim(TWO, ["default"], 5, HOLD_MS, 0.02)
    assert popped is None
    assert [claim.entry.id for claim in claims] == [lost.id]
    assert await queue.claim(ONE, "default", 5, HOLD_MS, lost.id) == []


async def test_a_paused_queue_gives_nothing_and_keeps_its_place(queue: Queue) -> None:
    await queue.enqueue([task := entry(queue="mails")])
    await queue.pause("mails")
    assert await queue.pop_and_claim(ONE, ["mails"], 5, HOLD_MS, 1) == (Popped("mails", task.id), [])
    await queue.resume("mails")
    assert await queue.pop(["mails"], 1) == Popped("mails", task.id)


async def test_nothing_is_leased_without_an_epoch(bench: Bench) -> None:
    await bench.empty()
    queue = bench.queue
    await queue.enqueue([task := entry()])
    assert await queue.pop_and_claim(ONE, ["default"], 5, HOLD_MS, 1) == (Popped("default", task.id), [])
    assert await queue.pop(["default"], 1) == Popped("default", task.id)
