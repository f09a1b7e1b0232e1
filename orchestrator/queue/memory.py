"""The queue in plain Python: the reference model that tests play against Redis, method by method.

It lives in one process and keeps nothing when that ends. Its clock is a function, so a test can move it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.domain.priority import score
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry, Settlement
from orchestrator.queue.memory_leases import Lease, MemoryLeases
from orchestrator.queue.port import (
    FENCE_COUNTER_BITS,
    EpochMissing,
    Live,
    Popped,
    QueueFigures,
    QueuePaused,
    Standing,
)

_SPAN = 1 << FENCE_COUNTER_BITS


@dataclass(slots=True)
class Record:
    """What the queue knows of a task; `entry.attempt` and `entry.crashes` are kept up to date."""

    entry: Entry
    status: State
    epoch: int
    lease: Lease | None = None
    lost: Fence | None = None
    started_at_us: int | None = None


class MemoryQueue:
    """Keeps the promises of port.Queue."""

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
        self.counters: defaultdict[tuple[str, str], float] = defaultdict(float)

    async def enqueue(self, entries: Sequence[Entry]) -> list[bool]:
        return [self._enqueue(entry, self._now_us()) for entry in entries]

    def _enqueue(self, entry: Entry, now: int) -> bool:
        if entry.id in self._records or self._leases.holder(entry.id) is not None:
            return False
        self._names.add(entry.queue)
        record = Record(entry, State.QUEUED, 0 if entry.restored else self._epoch)
        self._records[entry.id] = record
        ready = entry.ready_at_us
        if ready is None:
            ready = self._tick = max(now, self._tick + 1)
        elif ready > now:
            record.status = State.RETRYING if entry.retrying else State.SCHEDULED
            self._scheduled[entry.id] = ready
            return True
        self._place(entry, ready)
        return True

    def _place(self, entry: Entry, ready_at_us: int) -> None:
        place = score(ready_at_us, entry.priority, self._step_us)
        self._queue[entry.queue][entry.id] = self._pending[entry.queue][entry.id] = place
        self._arrived.set()

    async def pop(self, queues: Sequence[str], timeout_seconds: float) -> Popped | None:
        try:
            async with asyncio.timeout(timeout_seconds or None):
                while True:
                    for name in queues:
                        for task_id, _ in _first(self._queue[name], 1):
                            del self._queue[name][task_id]
                            return Popped(name, task_id)
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None

    async def claim(
        self, worker: WorkerId, queue: str, limit: int, hold_ms: int, popped: TaskId | None = None
    ) -> list[Claim]:
        waiting, pending = self._queue[queue], self._pending[queue]
        taken = [popped] if popped is not None and popped in pending else []
        waiting.update({task_id: pending[task_id] for task_id in taken})
        if queue in self._paused:
            raise QueuePaused(queue)
        self._require_epoch(limit)
        taken += [task_id for task_id, _ in _first(waiting, limit + 1) if task_id not in taken]
        return [self._claim(task_id, worker, hold_ms) for task_id in taken[:limit]]

    def _claim(self, task_id: TaskId, worker: WorkerId, hold_ms: int) -> Claim:
        record = self._records[task_id]
        entry = record.entry
        del self._queue[entry.queue][task_id]
        ready = self._pending[entry.queue].pop(task_id) - entry.priority * self._step_us
        attempt = entry.attempt + 1
        record.entry = replace(entry, attempt=attempt, ready_at_us=ready, retrying=False, restored=False)
        record.status, record.started_at_us = State.RUNNING, self._now_us()
        expired = attempt == 1 and entry.expires_at_us is not None and entry.expires_at_us <= self._now_us()
        return replace(self._lease(record, worker, hold_ms), expired=expired)

    def _lease(self, record: Record, worker: WorkerId, hold_ms: int) -> Claim:
        self._counter += 1
        entry, now = record.entry, self._now_us()
        record.lease = Lease(worker, Fence(self._epoch * _SPAN + self._counter))
        self._leases.hold(entry.id, record.lease, hold_ms)
        before = replace(entry, attempt=entry.attempt - 1)
        waited_us = max(0, now - (entry.ready_at_us or now))
        settled = record.epoch == self._epoch
        return Claim(before, record.lease.fence, entry.attempt, worker, now, waited_us, settled)

    def _holds(self, task_id: TaskId, lease: Lease) -> bool:
        if not self._leases.locked(task_id) and task_id not in self._records:
            return self._epoch == 0 or lease.fence < self._epoch * _SPAN
        return self._holder(task_id) == lease

    def _holder(self, task_id: TaskId) -> Lease | None:
        if self._leases.locked(task_id):
            return self._leases.holder(task_id)
        return self._records[task_id].lease if task_id in self._records else None

    async def extend(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]], hold_ms: int) -> list[TaskId]:
        lost = []
        for task_id, fence in held:
            if self._holds(task_id, Lease(worker, fence)):
                self._leases.hold(task_id, Lease(worker, fence), hold_ms)
            else:
                lost.append(task_id)
        return lost

    async def settle(
        self, worker: WorkerId, endings: Sequence[Settlement], counts: Sequence[tuple[str, str, float]] = ()
    ) -> list[bool]:
        for family, field, by in counts:
            self.counters[family, field] += by
        return [self._settle(ending, Lease(worker, ending.claim.fence)) for ending in endings]

    def _settle(self, ending: Settlement, lease: Lease) -> bool:
        task_id, state = ending.claim.entry.id, ending.state
        if not self._holds(task_id, lease):
            return False
        self._leases.forget(task_id)
        self._records.pop(task_id, None)
        if state not in (State.QUEUED, State.RETRYING):
            return True
        entry = replace(ending.claim.entry, attempt=ending.attempt, crashes=ending.crashes)
        self._names.add(entry.queue)
        self._records[task_id] = Record(entry, state, self._epoch)
        if state is State.RETRYING:
            self._scheduled[task_id] = self._now_us() + (ending.delay_us or 0)
        else:
            self._place(entry, entry.ready_at_us or ending.claim.claimed_at_us)
        return True

    async def take_over(self, worker: WorkerId, limit: int, hold_ms: int) -> tuple[list[Claim], list[TaskId]]:
        self._require_epoch(limit)
        claims: list[Claim] = []
        forgotten: list[TaskId] = []
        for task_id, until in _first(self._leases.deadlines, limit):
            if until > self._now_us():
                break
            del self._leases.deadlines[task_id]
            record = self._records.get(task_id)
            if record is not None and record.lease is not None:
                record.lost = record.lost or record.lease.fence
                claims.append(replace(self._lease(record, worker, hold_ms), lost=record.lost))
            else:
                forgotten.append(task_id)
        return claims, forgotten

    async def promote(self, limit: int) -> list[TaskId]:
        due = [task_id for task_id, at_us in _first(self._scheduled, limit) if at_us <= self._now_us()]
        for task_id in due:
            record = self._records[task_id]
            record.status = State.QUEUED
            self._place(record.entry, self._scheduled.pop(task_id))
        return due

    async def put_back(self, limit: int) -> list[TaskId]:
        returned = []
        for name in self._names:
            for task_id, place in _first(self._pending[name], limit):
                if task_id not in self._queue[name]:
                    self._queue[name][task_id] = place
                    returned.append(task_id)
                    self._arrived.set()
        return returned

    async def drop(self, ids: Sequence[TaskId]) -> None:
        for task_id in ids:
            record = self._records.pop(task_id, None)
            if record is not None:
                for places in (self._queue[record.entry.queue], self._pending[record.entry.queue], self._scheduled):
                    places.pop(task_id, None)
            self._leases.bury(task_id)

    async def forget(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
        gone = [task_id for task_id, fence in held if self._holder(task_id) == Lease(worker, fence)]
        for task_id in gone:
            self._records.pop(task_id, None)
            self._leases.forget(task_id)
        return gone

    def _require_epoch(self, count: int) -> None:
        if self._epoch == 0 or self._counter + count >= _SPAN:
            raise EpochMissing

    async def mint(self) -> Fence:
        self._require_epoch(1)
        self._counter += 1
        return Fence(self._epoch * _SPAN + self._counter)

    async def open_epoch(self, epoch: int) -> bool:
        if epoch <= self._epoch:
            return False
        self._epoch, self._counter = epoch, 0
        return True

    async def epoch(self) -> int | None:
        return self._epoch if self._epoch and self._counter + 1 < _SPAN else None

    async def missing(self, ids: Sequence[TaskId]) -> list[TaskId]:
        return [task_id for task_id in ids if task_id not in self._records and not self._leases.locked(task_id)]

    async def leased(self) -> list[TaskId]:
        return [task_id for task_id, _ in _first(self._leases.deadlines, len(self._leases.deadlines))]

    async def pending(self, queue: str, first: int, limit: int) -> list[TaskId]:
        return [task_id for task_id, _ in _first(self._pending[queue], first + limit)[first:]]

    async def live(self, ids: Sequence[TaskId]) -> dict[TaskId, Live]:
        return {task_id: _live(self._records[task_id]) for task_id in ids if task_id in self._records}

    async def standing(self, task_id: TaskId) -> Standing:
        record = self._records.get(task_id)
        if record is None:
            return Standing(live=None, queue=None, rank=None, due_in_us=None, paused=False)
        queue, due = record.entry.queue, self._scheduled.get(task_id)
        order = [waiting for waiting, _ in _first(self._pending[queue], len(self._pending[queue]))]
        rank = order.index(task_id) if task_id in order else None
        due_in_us = None if due is None else max(0, due - self._now_us())
        return Standing(_live(record), queue, rank, due_in_us, queue in self._paused)

    async def pause(self, queue: str) -> None:
        self._paused.add(queue)

    async def resume(self, queue: str) -> None:
        self._paused.discard(queue)

    async def queues(self) -> list[QueueFigures]:
        leased = [self._records[task_id].entry.queue for task_id in self._leases.deadlines if task_id in self._records]
        figures = []
        for name in sorted(self._names | self._paused):
            oldest = 0
            for task_id, place in _first(self._pending[name], 1):
                ready = place - self._records[task_id].entry.priority * self._step_us
                oldest = max(0, self._now_us() - ready)
            depth = len(self._pending[name])
            figures.append(QueueFigures(name, depth, oldest, leased.count(name), name in self._paused))
        return figures

    async def names(self) -> list[str]:
        return sorted(self._names)

    async def depth(self, queue: str) -> int:
        return len(self._pending[queue])

    async def ping(self) -> None:
        return


def _first(places: dict[TaskId, int], count: int) -> list[tuple[TaskId, int]]:
    """The first by score; equal scores in the order of the ids, as in a sorted set."""
    return sorted(places.items(), key=lambda place: (place[1], place[0]))[:count]


def _live(record: Record) -> Live:
    lease = record.lease
    fence, worker = (lease.fence, lease.worker) if lease is not None else (Fence(0), None)
    return Live(record.status, record.entry.attempt, fence, worker, record.started_at_us, None)
