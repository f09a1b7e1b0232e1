"""A worker that waits for a task and holds it at once, and is stopped before it hears of it."""

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.domain.ids import WorkerId
from orchestrator.domain.task import Claim
from orchestrator.queue.memory import MemoryQueue
from orchestrator.queue.port import Popped
from orchestrator.worker.worker import Worker
from tests.queue.entries import SWEEPER, entry

LEASE_MS = 8_000
STEP_US = 1_000_000


class StoppedMeanwhile(MemoryQueue):
    """Its first answer is read late. What ran out is taken over by then, and another task has come."""

    def __init__(self, late_seconds: float) -> None:
        super().__init__(lambda: int(self.seconds * 1e6), STEP_US)
        self.seconds = 1_000.0
        self._late_seconds = late_seconds

    async def pop_and_claim(self, *asked: Any) -> tuple[Popped | None, list[Claim]]:
        answer = await super().pop_and_claim(*asked)
        if self._late_seconds:
            self.seconds += self._late_seconds
            self._late_seconds = 0.0
            await self.take_over(SWEEPER, 10, LEASE_MS)
            await self.enqueue([entry()])
        return answer


class Slots:
    """They stop the worker as soon as it begins something."""

    room, brisk = 10, True
    worker: Worker

    def __init__(self) -> None:
        self.begun: list[Claim] = []

    def wake(self) -> None: ...

    async def moved(self) -> None: ...

    def start(self, claim: Claim) -> None:
        self.begun.append(claim)
        self.worker.stop()


@pytest.mark.parametrize(("late_seconds", "is_lost"), [(0.1, False), (7.9, False), (8.1, True)])
async def test_what_was_taken_over_meanwhile_is_not_begun(late_seconds: float, is_lost: bool) -> None:
    queue, slots = StoppedMeanwhile(late_seconds), Slots()
    clock = SimpleNamespace(monotonic=lambda: queue.seconds)
    runtime: Any = SimpleNamespace(queue=queue, clock=clock, limits=SimpleNamespace(lease_ms=LEASE_MS))
    slots.worker = Worker(runtime, WorkerId("late"), slots, ("default",))
    await queue.open_epoch(1)
    await queue.enqueue([task := entry()])
    await slots.worker.run()
    (begun,) = slots.begun
    assert (begun.entry.id != task.id) is is_lost
    assert await queue.extend(WorkerId("late"), [(begun.entry.id, begun.fence)], LEASE_MS) == []
