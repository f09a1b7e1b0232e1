"""What the reference model holds, and the moves that several of its acts are made of."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.domain.ids import Fence, TaskId, Tenant
from orchestrator.domain.outbox import KeyHold, Waiting
from orchestrator.domain.priority import score
from orchestrator.domain.states import State
from orchestrator.domain.task import Entry
from orchestrator.queue.memory_leases import Lease, MemoryLeases
from orchestrator.queue.port import FENCE_COUNTER_BITS, Live

SPAN = 1 << FENCE_COUNTER_BITS


@dataclass(slots=True)
class Record:
    """What the queue knows of a task; `entry.attempt` and `entry.crashes` are kept up to date."""

    entry: Entry
    status: State
    epoch: int
    lease: Lease | None = None
    lost: Fence | None = None
    started_at_us: int | None = None
    asked: str = ""
    """Where the record of its insert was put in the outbox."""
    ended: Fence | None = None
    """The run that was last settled into the outbox."""
    settled: str = ""
    """Where the record of that was put, if the task is over with it."""

    @property
    def live(self) -> Live:
        if self.lease is None:
            return Live(self.status, self.entry.attempt, self.ended or Fence(0), None, None, None)
        fence, worker = self.lease.fence, self.lease.worker
        return Live(self.status, self.entry.attempt, fence, worker, self.started_at_us, None)


@dataclass(slots=True)
class KeyHolding:
    """Who holds an idempotency key, until when."""

    task_id: TaskId
    key: KeyHold
    until_us: int
    stored: bool
    """Whether Postgres has the task, or decides about it."""
    reserved: bool = False
    """Whether it is still on its way there."""


class MemoryState:
    """Tasks, their places, leases, keys and the outbox."""

    def __init__(self, now_us: Callable[[], int], step_us: int) -> None:
        self._now_us = now_us
        self._step_us = step_us
        self._records: dict[TaskId, Record] = {}
        self._queue: defaultdict[str, dict[TaskId, int]] = defaultdict(dict)
        self._pending: defaultdict[str, dict[TaskId, int]] = defaultdict(dict)
        self._scheduled: dict[TaskId, int] = {}
        self._leases = MemoryLeases(now_us)
        self._names: set[str] = set()
        self._paused: set[str] = set()
        self._epoch, self._counter, self._tick = 0, 0, 0
        self._arrived = asyncio.Event()
        self._outbox: dict[str, Waiting] = {}
        self._appended = 0
        self._holdings: dict[str, KeyHolding] = {}
        self._steps: defaultdict[TaskId, dict[str, bytes]] = defaultdict(dict)
        self._created: dict[tuple[str, Tenant], dict[str, int]] = {}
        """Tasks by day and tenant, and in it by type."""
        self._waiting: dict[TaskId, tuple[Tenant, str]] = {}
        self._counted: set[Tenant] = set()
        self._ceilings: dict[str, int] = {}
        self._copies: dict[Tenant, bytes] = {}
        self._counted_epoch: int | None = None
        self._running: dict[TaskId, tuple[Tenant, str]] = {}
        self._held: dict[tuple[str, str], dict[TaskId, int]] = {}
        """By the owner that is full, and the queue."""
        self.counters: defaultdict[tuple[str, str], float] = defaultdict(float)

    def _keeps(self, task_id: TaskId) -> bool:
        """Whether the queue holds a task, be it that only its lease is known; one that is over is not held."""
        record = self._records.get(task_id)
        return self._leases.holder(task_id) is not None or (record is not None and not record.settled)

    def _put_in(self, entry: Entry) -> None:
        self._names.add(entry.queue)
        record = Record(entry, State.QUEUED, 0 if entry.restored else self._epoch)
        self._records[entry.id] = record
        ready = entry.ready_at_us
        if ready is None:
            ready = self._tick = max(self._now_us(), self._tick + 1)
        elif ready > self._now_us():
            record.status = State.RETRYING if entry.retrying else State.SCHEDULED
            self._scheduled[entry.id] = ready
            return
        self._place(entry, ready)

    def _place(self, entry: Entry, ready_at_us: int) -> None:
        place = score(ready_at_us, entry.priority, self._step_us)
        self._queue[entry.queue][entry.id] = self._pending[entry.queue][entry.id] = place
        self._arrived.set()

    def _holds(self, task_id: TaskId, lease: Lease) -> bool:
        if not self._leases.locked(task_id) and task_id not in self._records:
            return self._epoch == 0 or lease.fence < self._epoch * SPAN
        return self._holder(task_id) == lease

    def _holder(self, task_id: TaskId) -> Lease | None:
        if self._leases.locked(task_id):
            return self._leases.holder(task_id)
        return self._records[task_id].lease if task_id in self._records else None

    def _forget(self, task_id: TaskId) -> Record | None:
        """Forget a task and its steps; its lease and its places are the caller's."""
        self._steps.pop(task_id, None)
        return self._records.pop(task_id, None)


def leading(places: dict[TaskId, int], count: int) -> list[tuple[TaskId, int]]:
    """The first by score; equal scores in the order of the ids, as in a sorted set."""
    return sorted(places.items(), key=lambda place: (place[1], place[0]))[:count]
