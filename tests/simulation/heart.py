"""The heartbeat of a simulated worker: the rule of `worker.heartbeat`, without its thread."""

import asyncio
from collections.abc import Callable, Iterable

from orchestrator.clock import Clock
from orchestrator.domain.ids import Fence, WorkerId
from orchestrator.queue.port import Queue
from orchestrator.worker.attempts import Attempts

GIVE_UP_AT = 0.8
_BEATS_PER_LEASE = 4
_SHORTEST_PAUSE_SECONDS = 0.05


class Heart:
    """Extends what is held, and gives everything up when that has not succeeded for most of a lease."""

    def __init__(
        self,
        queue: Queue,
        clock: Clock,
        worker: WorkerId,
        attempts: Attempts,
        report: Callable[[Iterable[Fence]], None],
        lease_ms: int,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._worker = worker
        self._attempts = attempts
        self._report = report
        self._lease_ms = lease_ms

    async def beat(self) -> None:
        now, lease_seconds = self._clock.monotonic, self._lease_ms / 1000
        every_seconds, safe_seconds = lease_seconds / _BEATS_PER_LEASE, lease_seconds * GIVE_UP_AT
        give_up_at = now() + safe_seconds
        failing = False
        while True:
            began_at = now()
            if failing and began_at >= give_up_at:
                self._report(list(self._attempts.held.values()))
                give_up_at = began_at + safe_seconds
            left_seconds = give_up_at - began_at
            failing = not await self._extended(left_seconds if left_seconds > 0 else every_seconds)
            if not failing:
                give_up_at = began_at + safe_seconds
            pause = min(began_at + every_seconds, give_up_at) - now()
            await asyncio.sleep(max(_SHORTEST_PAUSE_SECONDS, pause))

    async def _extended(self, left_seconds: float) -> bool:
        held = dict(self._attempts.held)
        if not held:
            return True
        try:
            async with asyncio.timeout(left_seconds):
                lost = await self._queue.extend(self._worker, list(held.items()), self._lease_ms)
        except Exception:  # noqa: BLE001 - as the heart itself: any failure is one
            return False
        gone = [held[task_id] for task_id in lost if self._attempts.held.get(task_id) == held[task_id]]
        if gone:
            self._report(gone)
        return True
