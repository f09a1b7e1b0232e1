"""The heartbeat, against a queue that answers, hangs or breaks; and what it means for the worker around it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.domain.states import State
from orchestrator.queue.presence import WorkerCard
from orchestrator.worker.heartbeat import Heartbeat
from orchestrator.worker.service import Facts, WorkerService
from tests.worker.conftest import House
from tests.worker.life_handlers import ENTERED, LET_GO

CLOCK = SystemClock()
WORKER = WorkerId("worker-1")
FIRST, SECOND = TaskId("first"), TaskId("second")
Extend = Callable[[Sequence[tuple[TaskId, Fence]]], Awaitable[list[TaskId]]]


@dataclass
class Chest:
    """A heart and all it touches; it stands for the queue and the presence too, whose calls come from its thread."""

    extend_leases: Extend
    announces: bool = True
    held: dict[TaskId, Fence] = field(default_factory=dict)
    lost: asyncio.Queue[list[Fence]] = field(default_factory=asyncio.Queue)
    beats: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def extend(self, _: WorkerId, held: Sequence[tuple[TaskId, Fence]], hold_ms: int) -> list[TaskId]:
        self._loop.call_soon_threadsafe(self.beats.put_nowait, None)
        return await self.extend_leases(held)

    async def announce(self, card: WorkerCard, ttl_ms: int) -> None:
        if not self.announces:
            raise Unavailable("redis")

    async def leave(self, worker: WorkerId) -> None: ...

    @asynccontextmanager
    async def beating(self, lease_ms: int) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        heart = Heartbeat(lambda: self._parts(), WORKER, self.held, self._note, _card, lease_ms, CLOCK)
        heart.start()
        try:
            async with asyncio.timeout(10):
                yield
        finally:
            await heart.stop()

    def _note(self, lost: Iterable[Fence]) -> None:
        self.lost.put_nowait(list(lost))

    def _parts(self) -> Any:
        return self, self, self._close

    async def _close(self) -> None: ...


def _card() -> WorkerCard:
    return WorkerCard(WORKER, "host", 1, "test", (), 4, CLOCK.now())


async def fine(_: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
    return []


async def hang(_: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
    await asyncio.sleep(600)
    return []


async def refuse(_: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
    raise Unavailable("redis")


async def test_a_worker_that_cannot_be_announced_keeps_its_leases() -> None:
    chest = Chest(fine, announces=False, held={FIRST: Fence(1)})
    began = time.monotonic()
    async with chest.beating(lease_ms=200):
        while time.monotonic() - began < 0.5:
            await chest.beats.get()
    assert chest.lost.empty()


async def test_an_unexpected_error_does_not_stop_the_heart() -> None:
    failures = [ValueError("a bug"), RuntimeError("another")]

    async def stumble(_: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
        if failures:
            raise failures.pop()
        return [FIRST]

    chest = Chest(stumble, held={FIRST: Fence(1), SECOND: Fence(2)})
    async with chest.beating(lease_ms=800):
        assert await chest.lost.get() == [1]


@pytest.mark.parametrize("extend", [hang, refuse])
async def test_leases_that_cannot_be_extended_are_given_up_before_they_end(extend: Extend) -> None:
    chest = Chest(extend, held={FIRST: Fence(1), SECOND: Fence(2)})
    began = time.monotonic()
    async with chest.beating(lease_ms=2000):
        assert await chest.lost.get() == [1, 2]
        assert 1.5 < time.monotonic() - began < 2.0


async def test_what_is_claimed_after_giving_up_is_not_given_up_with_it() -> None:
    answers: asyncio.Event = asyncio.Event()

    async def come_back(_: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
        if not answers.is_set():
            raise Unavailable("redis")
        return []

    chest = Chest(come_back, held={FIRST: Fence(1)})
    began = time.monotonic()
    async with chest.beating(lease_ms=400):
        assert await chest.lost.get() == [1]
        answers.set()
        del chest.held[FIRST]
        chest.held[SECOND] = Fence(2)
        while time.monotonic() - began < 1.0:
            await chest.beats.get()
    assert chest.lost.empty()


async def test_a_lease_that_was_claimed_anew_during_the_beat_is_not_lost() -> None:
    async def claimed_anew(held: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
        if dict(held)[FIRST] == 1:
            chest.held[FIRST] = Fence(3)
            return [FIRST, SECOND]
        return [FIRST]

    chest = Chest(claimed_anew, held={FIRST: Fence(1), SECOND: Fence(2)})
    async with chest.beating(lease_ms=400):
        assert await chest.lost.get() == [2]
        assert await chest.lost.get() == [3]


async def test_a_claim_loop_that_fails_gives_everything_back_and_ends_the_heart(house: House) -> None:
    task = await house.submit("clingy")
    LET_GO[task.id].set()
    service = WorkerService(house.runtime, Facts(WORKER, "test", 4, (), 60, ()), house._connections)
    claiming, break_it = service._loops[0].run, asyncio.Event()

    async def run() -> None:
        claims = asyncio.create_task(claiming())
        await break_it.wait()
        service._loops[0].stop()
        await claims
        raise RuntimeError("a bug in the claim loop")

    service._loops[0].run = run  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        running = asyncio.create_task(service.run())
        await ENTERED[task.id].get()
        break_it.set()
        with pytest.raises(RuntimeError, match="claim loop"):
            await running
    read = await house.runtime.ledger.read(task.tenant, task.id)
    assert read is not None
    assert (read.status, read.attempt, read.crashes) == (State.QUEUED, 0, 0)
    assert not service._heartbeat._thread.is_alive()
    assert await house.runtime.presence.workers() == []
