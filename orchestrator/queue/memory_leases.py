"""The leases of the reference model: locks with a time to live, and the deadlines that the sweep looks at."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.domain.ids import Fence, TaskId, WorkerId

TOMBSTONE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Lease:
    """Who runs a task, under which fence."""

    worker: WorkerId
    fence: Fence


class MemoryLeases:
    """Who holds what, until when. A tombstone is a lock that nobody holds."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self.deadlines: dict[TaskId, int] = {}
        self._locks: dict[TaskId, tuple[Lease | None, int]] = {}

    def hold(self, task_id: TaskId, lease: Lease, hold_ms: int) -> None:
        until = self._now_us() + hold_ms * 1000
        self._locks[task_id] = (lease, until)
        self.deadlines[task_id] = until

    def bury(self, task_id: TaskId) -> None:
        """End a lease, if there is one, so that it cannot be asserted again."""
        if self.deadlines.pop(task_id, None) is not None or self.holder(task_id) is not None:
            self._locks[task_id] = (None, self._now_us() + TOMBSTONE_US)

    def forget(self, task_id: TaskId) -> None:
        self._locks.pop(task_id, None)
        self.deadlines.pop(task_id, None)

    def locked(self, task_id: TaskId) -> bool:
        """Whether there is a lock, be it a tombstone."""
        lock = self._locks.get(task_id)
        return lock is not None and lock[1] > self._now_us()

    def holder(self, task_id: TaskId) -> Lease | None:
        return self._locks[task_id][0] if self.locked(task_id) else None
