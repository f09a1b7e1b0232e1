"""Following a task: what was committed is heard in order, whatever became of its news."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from orchestrator.domain.events import OPENING, Event, EventKind, Told
from orchestrator.domain.ids import DEFAULT_TENANT, Fence
from orchestrator.domain.outcome import Failed, Outcome, Released, Succeeded
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Task, TaskError
from orchestrator.operations import follow as following
from orchestrator.operations.follow import follow
from tests.api.door import claim, end, say
from tests.worker.conftest import House

BROKEN: Outcome = Failed(TaskError("Boom", "it broke", retryable=True, fingerprint="f-1"))


class Listener:
    """What one stream has told so far."""

    def __init__(self, house: House, task: Task) -> None:
        self._stream = follow(house.runtime, DEFAULT_TENANT, task.id, -1)

    async def next(self, count: int) -> list[tuple[str, Any]]:
        async with asyncio.timeout(10):
            return [short(await anext(self._stream)) for _ in range(count)]

    async def rest(self) -> list[tuple[str, Any]]:
        async with asyncio.timeout(10):
            return [short(event) async for event in self._stream]

    async def close(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]


def short(event: Event) -> tuple[str, Any]:
    return event.kind.value, event.data["status"] if event.kind in (EventKind.STATUS, EventKind.END) else event.data


@asynccontextmanager
async def listening(house: House) -> AsyncIterator[tuple[Listener, Claim]]:
    """A listener that has heard its task start, and the attempt."""
    task = await house.submit("echo")
    listener = Listener(house, task)
    assert await listener.next(1) == [("status", "queued")]
    claimed = await claim(house.runtime)
    assert await listener.next(1) == [("status", "running")]
    yield listener, claimed
    await listener.close()


async def commit(house: House, claimed: Claim, number: int) -> None:
    """Store what a handler told, and publish nothing: Redis was away, or the worker was paused here."""
    data, now = orjson.dumps(number), house.runtime.clock.now()
    told = Told(claimed.entry.id, claimed.entry.tenant, claimed.fence, number, EventKind.LOG, data, now)
    assert await house.runtime.ledger.tell([told]) == [True]


async def publish(house: House, claimed: Claim, number: int) -> None:
    await say(house.runtime, claimed, EventKind.LOG, number, first=number)


Act = Callable[[], Coroutine[Any, Any, Any]]


async def nothing() -> None:
    """Nothing happens."""


def around_reading(
    house: House, monkeypatch: pytest.MonkeyPatch, before: Act = nothing, after: Act = nothing
) -> Counter[str]:
    """Let something happen just before or after history is next read; return how often it is read."""
    read, acts, reads = house.runtime.ledger.events, [(before, after)], Counter[str]()

    async def events(*args: Any, **kwargs: Any) -> list[Event]:
        reads["history"] += 1
        first, second = acts.pop() if acts else (nothing, nothing)
        await first()
        page = await read(*args, **kwargs)
        await second()
        return page

    monkeypatch.setattr(house.runtime.ledger, "events", events)
    return reads


async def test_news_that_were_not_published_are_read_when_the_next_come(house: House) -> None:
    async with listening(house) as (listener, claimed):
        await publish(house, claimed, 1)
        assert await listener.next(1) == [("log", 1)]
        await commit(house, claimed, 2)
        await publish(house, claimed, 3)
        assert await listener.next(2) == [("log", 2), ("log", 3)]
        await publish(house, claimed, 4)
        assert await listener.next(1) == [("log", 4)]


async def test_news_that_were_not_published_come_before_the_outcome_of_a_retried_attempt(house: House) -> None:
    async with listening(house) as (listener, claimed):
        await commit(house, claimed, 1)
        await end(house.runtime, claimed, BROKEN)
        assert await listener.next(2) == [("log", 1), ("status", "retrying")]


async def test_news_that_were_not_published_come_before_a_next_attempt(house: House) -> None:
    async with listening(house) as (listener, claimed):
        await commit(house, claimed, 1)
        taken = replace(claimed, fence=Fence(claimed.fence + 1))  # as after a loss of Redis: no outcome was told
        await house.runtime.ledger.start([taken])
        body = {"status": "running", "attempt": 1}
        await house.runtime.feed.publish_status(claimed.entry.id, taken.fence, OPENING, body, None)
        assert await listener.next(2) == [("log", 1), ("status", "running")]


async def test_an_attempt_whose_start_was_not_heard_is_read(house: House) -> None:
    async with listening(house) as (listener, claimed):
        await end(house.runtime, claimed, Released())
        taken = replace(claimed, fence=Fence(claimed.fence + 1))
        await house.runtime.ledger.start([taken])
        await publish(house, taken, 1)
        assert await listener.next(3) == [("status", "queued"), ("status", "running"), ("log", 1)]


async def test_a_stream_of_tokens_is_passed_on_without_reading_history(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(house) as (listener, claimed):
        reads = around_reading(house, monkeypatch)
        await say(house.runtime, claimed, EventKind.TOKEN, *range(100))
        assert await listener.next(100) == [("token", number) for number in range(100)]
        assert not reads


async def test_an_end_of_which_no_news_came_is_found_after_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "SILENCE_SECONDS", 0.05)
    async with listening(house) as (listener, claimed):
        assert await house.runtime.ledger.cancel(DEFAULT_TENANT, claimed.entry.id, Fence(claimed.fence + 1))
        assert await listener.rest() == [("status", "cancelled"), ("end", "cancelled")]


async def test_an_attempt_that_starts_while_history_is_read_hides_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await house.submit("echo")
    claimed = await claim(house.runtime)

    async def release_and_claim() -> None:
        await publish(house, claimed, 1)
        await end(house.runtime, claimed, Released())
        await house.runtime.queue.claim(claimed.worker, "default", 1, 60_000)

    around_reading(house, monkeypatch, after=release_and_claim)
    listener = Listener(house, task)
    assert await listener.next(5) == [
        ("status", "queued"), ("status", "running"), ("log", 1), ("status", "queued"), ("status", "running"),
    ]  # fmt: skip
    await listener.close()


async def test_a_task_that_ends_while_history_is_read_ends_its_stream(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await house.submit("echo")
    claimed = await claim(house.runtime)
    around_reading(house, monkeypatch, before=lambda: end(house.runtime, claimed, Succeeded(b"7")))
    story = await Listener(house, task).rest()
    assert story == [
        ("status", "queued"), ("status", "running"), ("status", State.SUCCEEDED), ("result", 7), ("end", "succeeded"),
    ]  # fmt: skip
