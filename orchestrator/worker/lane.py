"""The lane of deliveries: webhooks that go out have a claim loop and slots of their own in each worker.

A receiver may take twenty seconds to answer, or never do. In the slots of other tasks, a few hundred deliveries to it
would keep a worker from everything else for an hour.
"""

from orchestrator.domain.subscription import DELIVERIES
from orchestrator.domain.task import DEFAULT_QUEUE, Claim
from orchestrator.worker.attempts import Attempts


def served(queues: tuple[str, ...]) -> tuple[str, ...]:
    """Return the queues that a worker serves which was told these; empty for all. Who serves `default` delivers."""
    return (*queues, DELIVERIES) if DEFAULT_QUEUE in queues and DELIVERIES not in queues else queues


class Lane:
    """What a claim loop sees of a worker's attempts when it claims deliveries."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    @property
    def room(self) -> int:
        return self._attempts.room_to_deliver

    @property
    def brisk(self) -> bool:
        return self._attempts.brisk

    async def moved(self) -> None:
        await self._attempts.moved()

    def wake(self) -> None:
        self._attempts.wake()

    def start(self, claim: Claim) -> None:
        self._attempts.start(claim)
