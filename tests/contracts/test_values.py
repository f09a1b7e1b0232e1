"""The values that the queue keeps of live tasks can be exchanged for another form of the same, and for nothing else."""

from orchestrator.domain.outbox import RecordKind
from orchestrator.queue.port import Queue, Value
from tests.queue.entries import HOLD_MS, ONE, entry, write

NOBODY = entry().id


async def test_payloads_and_results_of_steps_are_listed_and_exchanged(queue: Queue) -> None:
    waiting, running = entry(payload=b'"waits"'), entry(payload=b'"runs"')
    await queue.enqueue([running])
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    await queue.record(ONE, [write(claim, RecordKind.STEP, step=(name, b"1")) for name in ("a", "payload")])
    await queue.enqueue([waiting])
    found = await queue.values([waiting.id, NOBODY, running.id])
    assert sorted(found, key=str) == sorted(
        [
            Value(waiting.id, waiting.tenant, None, b'"waits"'),
            Value(running.id, running.tenant, None, b'"runs"'),
            Value(running.id, running.tenant, "a", b"1"),
            Value(running.id, running.tenant, "payload", b"1"),
        ],
        key=str,
    )
    assert await queue.exchange([(value, b'"new"') for value in found if value.step != "a"]) == [True] * 3
    assert {value.step: value.value for value in await queue.values([running.id])} == {
        None: b'"new"', "a": b"1", "payload": b'"new"',
    }  # fmt: skip
    (next_claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    assert next_claim.entry.payload == b'"new"'


async def test_what_was_changed_or_forgotten_since_is_left(queue: Queue) -> None:
    task = entry(payload=b'"first"')
    await queue.enqueue([task])
    (found,) = await queue.values([task.id])
    assert await queue.exchange([(found, b'"second"'), (found, b'"third"')]) == [True, False]
    gone = Value(NOBODY, task.tenant, None, b'"first"')
    assert await queue.exchange([(gone, b'"new"'), (Value(task.id, task.tenant, "a", b"1"), b"2")]) == [False] * 2
    assert [value.value for value in await queue.values([task.id, NOBODY])] == [b'"second"']
    assert await queue.exchange([]) == []
    assert await queue.values([]) == []
