"""Popping and claiming in the side-by-side game, by workers that may crash in between."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from orchestrator.domain.ids import WorkerId
from orchestrator.domain.task import Claim
from orchestrator.queue.memory import MemoryQueue
from orchestrator.queue.port import Popped, Queue
from tests.queue.entries import ONE, TWO

QUEUES = ["default", "mails"]
LONG_MS, SHORT_MS = 3_600_000, 1


class PoppingRules:
    """A part of the machine, which plays the acts on both queues."""

    run: Any
    same: Any
    claimed: Any
    memory: MemoryQueue
    popped: list[Popped]

    @rule(order=st.permutations(QUEUES))
    def pop(self, order: list[str]) -> None:
        if any(self.memory._queue.values()):
            self.popped.append(self.run(self.same(lambda queue: queue.pop(order, 1))))

    @precondition(lambda self: self.popped)
    @rule()
    def crash_between_pop_and_claim(self) -> None:
        self.popped.pop()

    @rule(
        worker=st.sampled_from([ONE, TWO]), name=st.sampled_from(QUEUES), limit=st.integers(1, 3),
        hold_ms=st.sampled_from([LONG_MS, SHORT_MS]), bell=st.booleans(),
    )  # fmt: skip
    def claim(self, worker: WorkerId, name: str, limit: int, hold_ms: int, bell: bool) -> None:
        rung = self.popped.pop() if bell and self.popped else None
        name, popped = (rung.queue, rung.id) if rung else (name, None)
        self.run(self.claimed(lambda queue: queue.claim(worker, name, limit, hold_ms, popped), hold_ms))

    @rule(order=st.permutations(QUEUES), limit=st.integers(1, 3), hold_ms=st.sampled_from([LONG_MS, SHORT_MS]))
    def pop_and_claim(self, order: list[str], limit: int, hold_ms: int) -> None:
        took: list[Popped | None] = []

        async def act(queue: Queue) -> list[Claim]:
            popped, claims = await queue.pop_and_claim(ONE, order, limit, hold_ms, 1)
            took.append(popped)
            return claims

        if any(self.memory._queue.values()):
            self.run(self.claimed(act, hold_ms))
            assert took[0] == took[1] is not None
            self.popped.append(took[0])
