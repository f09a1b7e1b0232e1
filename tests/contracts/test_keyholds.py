"""Idempotency keys while Postgres is away: which task a key stands for, and until when."""

import pytest

from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.outbox import Holder, KeyHold
from orchestrator.domain.states import State
from orchestrator.domain.task import Entry
from orchestrator.queue.port import Queue
from tests.contracts.conftest import Bench
from tests.queue.entries import (
    HOLD_MS,
    ONE,
    acceptance,
    ending,
    entry,
    hold,
    placeless,
    record_of,
)

OTHER = b"\x02"


async def accepted(queue: Queue, task: Entry, key: KeyHold | None = None, withdrawal: bytes | None = None) -> object:
    ((answer,), _) = await queue.accept([acceptance(task, key, withdrawal)])
    return answer


async def kinds(queue: Queue) -> list[tuple[str, TaskId]]:
    return [(each.kind.value, each.task_id) for each in await queue.outbox(100)]


async def run(queue: Queue, task: Entry, records: tuple[bytes, ...] = ()) -> None:
    """Let the one task that waits run to its end."""
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    assert claim.entry.id == task.id
    assert await queue.settle(ONE, [ending(claim)], (), records) == [True]


async def test_a_key_that_a_task_holds_answers_with_that_task(queue: Queue) -> None:
    first, second = entry(), entry()
    assert await accepted(queue, first, hold()) is True
    assert await accepted(queue, second, hold(fingerprint=OTHER)) == Holder(first.id, b"\x01\xff")
    assert await accepted(queue, entry(), hold("another")) is True
    assert second.id not in await queue.live([second.id])
    assert await queue.missing([second.id]) == [second.id]
    assert second.id not in {task_id for _, task_id in await kinds(queue)}


async def test_of_two_that_are_accepted_at_once_the_first_holds_the_key(queue: Queue) -> None:
    first, second = entry(), entry()
    answers, _ = await queue.accept([acceptance(first, hold()), acceptance(second, hold()), acceptance(entry())])
    assert answers == [True, Holder(first.id, b"\x01\xff"), True]
    assert await queue.depth("default") == 2


async def test_the_same_task_again_is_kept_once(queue: Queue) -> None:
    keyed, plain = entry(), entry()
    for _ in range(2):
        assert await accepted(queue, keyed, hold(until_final=True)) is True
        assert await accepted(queue, plain) is True
    assert await kinds(queue) == [("insert", keyed.id), ("insert", plain.id)]
    assert await queue.depth("default") == 2


async def test_the_same_task_again_is_kept_once_when_its_end_is_not_in_postgres_yet(queue: Queue) -> None:
    await accepted(queue, task := entry())
    await run(queue, task, (record_of(task.id, "settle"),))
    assert await accepted(queue, task) is True
    assert await kinds(queue) == [("insert", task.id), ("settle", task.id)]
    assert await queue.depth("default") == 0


@pytest.mark.parametrize("until_final", [False, True])
async def test_the_same_task_again_is_kept_once_when_it_ended_meanwhile(queue: Queue, until_final: bool) -> None:
    task, key = entry(), hold(until_final=until_final)
    await accepted(queue, task, key)
    await run(queue, task, (record_of(task.id, "settle"),))
    assert await accepted(queue, task, key) is True
    await queue.applied(await queue.outbox(10))
    assert await accepted(queue, task, key) is True
    assert await queue.outbox_depth() == 0
    assert await queue.missing([task.id]) == [task.id]


async def test_what_may_stand_in_postgres_is_withdrawn_when_another_holds_its_key(queue: Queue) -> None:
    first, unsure = entry(), entry()
    assert await accepted(queue, first, hold(), withdrawal=b"take it back") is True
    assert await accepted(queue, unsure, hold(), withdrawal=b"take it back") == Holder(first.id, b"\x01\xff")
    assert [placeless(each) for each in await queue.outbox(10)] == [
        ("insert", first.id, 0, "k", record_of(first.id, "insert")),
        ("withdraw", unsure.id, 0, "", b"take it back" + first.id.encode()),
    ]
    assert await queue.missing([unsure.id]) == [unsure.id]


async def test_a_key_until_final_is_given_up_at_the_end(queue: Queue) -> None:
    first, second, third = entry(), entry(), entry()
    key = hold(until_final=True)
    await accepted(queue, first, key)
    await run(queue, first, (record_of(first.id, "settle"),))  # the queue remembers it, and that it is over
    assert await accepted(queue, second, key) is True
    assert await accepted(queue, third, key) == Holder(second.id, key.fingerprint)
    await run(queue, second)
    assert await accepted(queue, third, key) is True
    await queue.drop([third.id])
    assert await accepted(queue, entry(), key) is True


async def test_a_key_until_final_is_held_while_its_task_waits_to_be_tried_again(queue: Queue) -> None:
    first, key = entry(), hold(until_final=True)
    await accepted(queue, first, key)
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    await queue.settle(ONE, [ending(claim, State.RETRYING)], (), [b"later"])
    assert await accepted(queue, entry(), key) == Holder(first.id, key.fingerprint)


async def test_a_key_for_a_time_outlives_its_task_and_then_ends(bench: Bench) -> None:
    queue, first, key = bench.queue, entry(), hold(hold_ms=60)
    await accepted(queue, first, key)
    await run(queue, first)
    assert await accepted(queue, entry(), key) == Holder(first.id, key.fingerprint)
    await bench.pass_ms(80)
    assert await accepted(queue, entry(), key) is True


async def test_what_postgres_took_is_remembered_for_the_time_it_is_away(queue: Queue) -> None:
    first, other, plain = entry(), entry(), entry()
    assert await queue.enqueue([first, plain], {first.id: hold()}) == [True, True]
    assert await accepted(queue, other, hold()) == Holder(first.id, b"\x01\xff")
    assert [claim.entry.id for claim in await queue.claim(ONE, "default", 9, HOLD_MS)] == [first.id, plain.id]


async def test_a_key_that_postgres_gave_to_another_task_goes_with_it(queue: Queue) -> None:
    """Postgres knows better: it saw the first one end, or the key run out."""
    first, second = entry(), entry()
    await queue.enqueue([first], {first.id: hold()})
    assert await queue.enqueue([second], {second.id: hold(fingerprint=OTHER)}) == [True]
    assert await accepted(queue, entry(), hold()) == Holder(second.id, OTHER)


async def test_a_key_whose_holder_postgres_does_not_have_yet_is_not_given_away(queue: Queue) -> None:
    first, second, plain = entry(), entry(), entry()
    await accepted(queue, first, hold())
    answers = await queue.enqueue([second, plain], {second.id: hold(fingerprint=OTHER)})
    assert answers == [Holder(first.id, b"\x01\xff"), True]
    assert await queue.missing([second.id]) == [second.id]
    assert await accepted(queue, entry(), hold()) == Holder(first.id, b"\x01\xff")
    await queue.applied(await queue.outbox(1))
    assert await queue.enqueue([second], {second.id: hold(fingerprint=OTHER)}) == [True]


async def test_a_key_until_final_whose_holder_ended_before_postgres_had_it_is_free(queue: Queue) -> None:
    first, second, key = entry(), entry(), hold(until_final=True)
    await accepted(queue, first, key)
    await run(queue, first, (record_of(first.id, "settle"),))
    assert await queue.enqueue([second], {second.id: key}) == [True]


async def test_a_task_that_is_held_already_stays_and_its_key_is_remembered(queue: Queue) -> None:
    await queue.enqueue([task := entry()])
    assert await queue.enqueue([task], {task.id: hold()}) == [False]
    assert await accepted(queue, entry(), hold()) == Holder(task.id, b"\x01\xff")


async def test_a_task_that_came_through_the_outbox_and_then_postgres_is_in_postgres(queue: Queue) -> None:
    task, second = entry(), entry()
    await accepted(queue, task, hold())
    assert await queue.enqueue([task], {task.id: hold()}) == [False]
    assert await queue.enqueue([second], {second.id: hold()}) == [True]


async def test_applying_an_insert_leaves_the_life_of_its_key_and_the_keys_of_others(bench: Bench) -> None:
    queue, first, second = bench.queue, entry(), entry()
    await accepted(queue, first, hold(hold_ms=60))
    inserted = await queue.outbox(10)
    await queue.applied(inserted)
    await bench.pass_ms(80)
    assert await accepted(queue, second, hold()) is True
    await queue.applied(inserted)  # the answer was lost
    assert await queue.enqueue([late := entry()], {late.id: hold()}) == [Holder(second.id, b"\x01\xff")]


async def test_what_is_accepted_stands_in_order_with_all_others(bench: Bench) -> None:
    queue, now_us = bench.queue, await bench.now_us()
    last, first, urgent = entry(), entry(), entry(priority=0, payload=b"[1]", attempt=2)
    later, full = entry(ready_at_us=now_us + 40_000), entry(queue="mails", expires_at_us=now_us + 9_000_000)
    await queue.enqueue([first])
    answers, _ = await queue.accept([acceptance(each) for each in (last, urgent, later, full)])
    assert answers == [True] * 4
    claims = await queue.claim(ONE, "default", 9, HOLD_MS)
    assert [claim.entry.id for claim in claims] == [urgent.id, first.id, last.id]
    assert (claims[0].attempt, claims[0].entry.payload, claims[0].settled_epoch) == (3, b"[1]", True)
    assert claims[0].fence > Fence(0)
    assert (await queue.live([later.id]))[later.id].status is State.SCHEDULED
    await bench.pass_ms(50)
    assert await queue.promote(9) == [later.id]
    assert await queue.names() == ["default", "mails"]


async def test_accepting_wakes_a_waiting_worker_and_nothing_is_fine(queue: Queue) -> None:
    assert (await queue.accept([]))[0] == []
    await queue.accept([acceptance(task := entry())])
    popped = await queue.pop(["default"], 1)
    assert popped is not None
    assert popped.id == task.id


@pytest.mark.parametrize("until_final", [False, True])
async def test_a_reserved_key_is_held_against_others_and_open_to_its_own_task(queue: Queue, until_final: bool) -> None:
    mine, other = entry(), entry()
    key = hold(until_final=until_final)
    assert await queue.reserve({mine.id: key}) == {}
    assert await queue.reserve({other.id: key}) == {}  # Postgres decides between the two
    assert await accepted(queue, other, key) == Holder(mine.id, b"\x01\xff")
    assert await accepted(queue, mine, key) is True
    assert await kinds(queue) == [("insert", mine.id)]
    assert await queue.reserve({other.id: key}) == {other.id: Holder(mine.id, b"\x01\xff")}


async def test_a_reserved_key_is_the_task_s_once_it_is_stored(queue: Queue) -> None:
    task = entry()
    await queue.reserve({task.id: hold(until_final=True)})
    assert await queue.enqueue([task], {task.id: hold(until_final=True)}) == [True]
    await run(queue, task)
    assert await accepted(queue, entry(), hold(until_final=True)) is True


async def test_a_key_that_was_given_up_is_reserved_anew(queue: Queue) -> None:
    before, task = entry(), entry()
    await queue.enqueue([before], {before.id: hold(until_final=True)})
    await run(queue, before)
    await queue.reserve({task.id: hold(until_final=True)})
    assert await accepted(queue, entry(), hold()) == Holder(task.id, b"\x01\xff")
