"""The queue in plain Python: the reference model that tests play against Redis, method by method.

It lives in one process and keeps nothing when that ends. Its clock is a function, so a test can move it.
`memory_outbox` stands in for Postgres, `memory_reading` answers how things stand.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.domain.outbox import NO_KEYS, Holder, KeyHold
from orchestrator.domain.profile import owner_of
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry, Settlement
from orchestrator.queue.memory_leases import Lease
from orchestrator.queue.memory_outbox import MemoryOutbox
from orchestrator.queue.memory_reading import MemoryReading
from orchestrator.queue.memory_state import SPAN, Record, leading
from orchestrator.queue.port import EpochMissing, Popped, QueuePaused


class MemoryQueue(MemoryOutbox, MemoryReading):
    """Keeps the promises of port.Queue."""

    async def enqueue(self, entries: Sequence[Entry], keys: Mapping[TaskId, KeyHold] = NO_KEYS) -> list[bool | Holder]:
        return [self._enqueue(entry, keys.get(entry.id)) for entry in entries]

    async def pop(self, queues: Sequence[str], timeout_seconds: float) -> Popped | None:
        try:
            async with asyncio.timeout(timeout_seconds or None):
                while True:
                    for name in queues:
                        for task_id, _ in leading(self._queue[name], 1):
                            del self._queue[name][task_id]
                            return Popped(name, task_id)
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None

    async def pop_and_claim(
        self, worker: WorkerId, queues: Sequence[str], limit: int, hold_ms: int, timeout_seconds: float
    ) -> tuple[Popped | None, list[Claim]]:
        popped = await self.pop(queues, timeout_seconds)
        astray = [(name, task_id) for name in queues for task_id in self._pending[name].keys() - self._queue[name]]
        if len(astray) != 1:
            return popped, []
        ((name, task_id),) = astray
        try:
            return popped, await self.claim(worker, name, limit, hold_ms, task_id)
        except (EpochMissing, QueuePaused):
            return popped, []

    async def claim(
        self, worker: WorkerId, queue: str, limit: int, hold_ms: int, popped: TaskId | None = None
    ) -> list[Claim]:
        waiting, pending = self._queue[queue], self._pending[queue]
        taken = [popped] if popped is not None and popped in pending else []
        waiting.update({task_id: pending[task_id] for task_id in taken})
        if queue in self._paused:
            raise QueuePaused(queue)
        self._require_epoch(limit)
        seated: list[TaskId] = []
        while len(seated) < limit:
            taken = taken or [task_id for task_id, _ in leading(waiting, 1)]
            if not taken:
                break
            task_id = taken.pop()
            del waiting[task_id]
            if self._seat(self._records[task_id].entry, pending[task_id]):
                seated.append(task_id)
        return [self._claim(task_id, worker, hold_ms, at) for at, task_id in enumerate(seated)]

    def _claim(self, task_id: TaskId, worker: WorkerId, hold_ms: int, later_us: int) -> Claim:
        record = self._records[task_id]
        entry = record.entry
        ready = self._pending[entry.queue].pop(task_id) - entry.priority * self._step_us
        attempt = entry.attempt + 1
        record.entry = replace(entry, attempt=attempt, ready_at_us=ready, retrying=False, restored=False)
        self._waiting.pop(task_id, None)
        record.status, record.started_at_us = State.RUNNING, self._now_us() + later_us
        expired = attempt == 1 and entry.expires_at_us is not None and entry.expires_at_us <= self._now_us()
        return replace(self._lease(record, worker, hold_ms, later_us), expired=expired)

    def _lease(self, record: Record, worker: WorkerId, hold_ms: int, later_us: int = 0) -> Claim:
        self._counter += 1
        entry, now = record.entry, self._now_us() + later_us
        record.lease = Lease(worker, Fence(self._epoch * SPAN + self._counter))
        self._leases.hold(entry.id, record.lease, hold_ms)
        before = replace(entry, attempt=entry.attempt - 1)
        waited_us = max(0, now - (entry.ready_at_us or now))
        settled = record.epoch == self._epoch
        return Claim(before, record.lease.fence, entry.attempt, worker, now, waited_us, settled)

    async def extend(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]], hold_ms: int) -> list[TaskId]:
        lost = []
        for task_id, fence in held:
            if self._holds(task_id, Lease(worker, fence)):
                self._leases.hold(task_id, Lease(worker, fence), hold_ms)
            else:
                lost.append(task_id)
        return lost

    async def settle(
        self,
        worker: WorkerId,
        endings: Sequence[Settlement],
        counts: Sequence[tuple[str, str, float]] = (),
        records: Sequence[bytes] = (),
    ) -> list[bool]:
        for family, field, by in counts:
            self.counters[family, field] += by
        owed: Sequence[bytes | None] = records or [None] * len(endings)
        return [
            self._settle(ending, Lease(worker, ending.claim.fence), record)
            for ending, record in zip(endings, owed, strict=True)
        ]

    async def take_over(self, worker: WorkerId, limit: int, hold_ms: int) -> tuple[list[Claim], list[TaskId]]:
        self._require_epoch(limit)
        claims: list[Claim] = []
        forgotten: list[TaskId] = []
        for task_id, until in leading(self._leases.deadlines, limit):
            if until > self._now_us():
                break
            del self._leases.deadlines[task_id]
            record = self._records.get(task_id)
            if record is not None and record.lease is not None:
                record.lost = record.lost or record.lease.fence
                claims.append(replace(self._lease(record, worker, hold_ms), lost=record.lost))
            else:
                self._leave([task_id])
                forgotten.append(task_id)
        return claims, forgotten

    async def promote(self, limit: int) -> list[TaskId]:
        due = [task_id for task_id, at_us in leading(self._scheduled, limit) if at_us <= self._now_us()]
        for task_id in due:
            record = self._records[task_id]
            record.status = State.QUEUED
            self._place(record.entry, self._scheduled.pop(task_id))
        return due

    async def put_back(self, limit: int) -> list[TaskId]:
        returned = []
        for name in self._names:
            for task_id, place in leading(self._pending[name], limit):
                if task_id not in self._queue[name]:
                    self._queue[name][task_id] = place
                    returned.append(task_id)
                    self._arrived.set()
        return returned

    async def drop(self, ids: Sequence[TaskId]) -> None:
        for task_id in ids:
            record = self._forget(task_id)
            if record is not None:
                self._take_away(record)
            self._leases.bury(task_id)
        self._leave(ids)

    def _take_away(self, record: Record) -> None:
        entry = record.entry
        held = self._held_at(entry.id)
        self._queue[entry.queue].pop(entry.id, None)
        self._scheduled.pop(entry.id, None)
        if self._pending[entry.queue].pop(entry.id, None) is not None:
            self._release(entry.tenant)
            self._release(owner_of(entry.tenant, entry.type))
        if held is not None:
            self._held[held[1], entry.queue].pop(entry.id, None)

    async def forget(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
        gone = [task_id for task_id, fence in held if self._holder(task_id) == Lease(worker, fence)]
        for task_id in gone:
            self._forget(task_id)
            self._leases.forget(task_id)
        self._leave(gone)
        return gone

    def _require_epoch(self, count: int) -> None:
        if self._epoch == 0 or self._counter + count >= SPAN:
            raise EpochMissing

    async def mint(self) -> Fence:
        self._require_epoch(1)
        self._counter += 1
        return Fence(self._epoch * SPAN + self._counter)

    async def open_epoch(self, epoch: int) -> bool:
        if epoch <= self._epoch:
            return False
        self._epoch, self._counter = epoch, 0
        return True

    async def epoch(self) -> int | None:
        return self._epoch if self._epoch and self._counter + 1 < SPAN else None

    async def pause(self, queue: str) -> None:
        self._paused.add(queue)

    async def resume(self, queue: str) -> None:
        self._paused.discard(queue)
