"""The outbox of the reference model, and who holds which idempotency key."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.domain.outbox import Acceptance, Durability, Holder, KeyHold, RecordKind, Waiting, Write
from orchestrator.domain.states import State
from orchestrator.domain.task import Entry, Settlement
from orchestrator.queue.memory_leases import Lease
from orchestrator.queue.memory_quotas import MemoryQuotas
from orchestrator.queue.memory_state import KeyHolding, Record
from orchestrator.queue.port import Held, Value


class MemoryOutbox(MemoryQuotas):
    """Keeps the promises of port.Outbox; nothing here is ever on a disk."""

    async def accept(self, acceptances: Sequence[Acceptance]) -> tuple[list[bool | Holder], Durability]:
        return [self._accept(each) for each in acceptances], Durability.MEMORY

    def _accept(self, wanted: Acceptance) -> bool | Holder:
        task_id, key = wanted.entry.id, wanted.key
        holding = self._holding(key, task_id)
        mine = holding is not None and holding.task_id == task_id and not holding.reserved
        if task_id in self._records or self._keeps(task_id) or mine:
            return True
        if holding is not None and holding.task_id != task_id:
            if wanted.withdrawal is not None and not holding.stored:
                withdrawal = wanted.withdrawal + holding.task_id.encode()
                self._append(RecordKind.WITHDRAW, task_id, Fence(0), withdrawal)
            return Holder(holding.task_id, holding.key.fingerprint)
        self._put_in(wanted.entry)
        self._remember(task_id, key, stored=False)
        asked = self._append(RecordKind.INSERT, task_id, Fence(0), wanted.record, key.name if key else "")
        self._records[task_id].asked = asked
        return True

    async def reserve(self, keys: Mapping[TaskId, KeyHold]) -> dict[TaskId, Holder]:
        held: dict[TaskId, Holder] = {}
        for task_id, key in keys.items():
            holding = self._holding(key, task_id)
            if holding is None or (holding.task_id == task_id and holding.reserved):
                self._remember(task_id, key, stored=True)
                self._holdings[key.name].reserved = True
            elif holding.task_id != task_id and not holding.stored:
                held[task_id] = Holder(holding.task_id, holding.key.fingerprint)
        return held

    def _enqueue(self, entry: Entry, key: KeyHold | None) -> bool | Holder:
        holding = self._holding(key, entry.id)
        ahead = holding is not None and holding.task_id != entry.id and not holding.stored
        if not ahead:
            self._remember(entry.id, key, stored=True)
        if self._keeps(entry.id):
            return False
        if holding is not None and ahead:
            return Holder(holding.task_id, holding.key.fingerprint)
        self._put_in(entry)
        return True

    def _holding(self, key: KeyHold | None, task_id: TaskId) -> KeyHolding | None:
        """Who holds the key: the task itself, or another one that has not given it up."""
        holding = self._holdings.get(key.name) if key else None
        if holding is None or holding.until_us <= self._now_us():
            return None
        record = self._records.get(holding.task_id)
        over = not holding.reserved and (record is None or record.settled != "")
        return None if holding.key.until_final and over and holding.task_id != task_id else holding

    def _remember(self, task_id: TaskId, key: KeyHold | None, stored: bool) -> None:
        if key is not None:
            until_us = self._now_us() + max(1, key.hold_ms) * 1000
            self._holdings[key.name] = KeyHolding(task_id, key, until_us, stored)

    def _append(self, kind: RecordKind, task_id: TaskId, fence: Fence, record: bytes, key: str = "") -> str:
        self._appended += 1
        place = self.appended()
        self._outbox[place] = Waiting(place, kind, task_id, fence, key, record)
        return place

    async def record(self, worker: WorkerId, writes: Sequence[Write]) -> list[bool]:
        return [self._record(write, Lease(worker, write.fence)) for write in writes]

    def _record(self, write: Write, lease: Lease) -> bool:
        if not self._holds(write.task_id, lease):
            return False
        self._append(write.kind, write.task_id, write.fence, write.record)
        if write.step is not None:
            name, result = write.step
            self._steps[write.task_id][name] = result
        return True

    async def append(self, lines: Sequence[tuple[TaskId, bytes]]) -> None:
        for line_id, record in lines:
            self._append(RecordKind.AUDIT, line_id, Fence(0), record)

    def _settle(self, ending: Settlement, lease: Lease, owed: bytes | None) -> bool:
        task_id, state = ending.claim.entry.id, ending.state
        before = self._records.get(task_id)
        if not self._holds(task_id, lease):
            return owed is not None and before is not None and before.ended == lease.fence
        self._leases.forget(task_id)
        self._leave([task_id])
        lives_on = state in (State.QUEUED, State.RETRYING)
        if owed is None and not lives_on:
            self._forget(task_id)
            return True
        entry = replace(ending.claim.entry, attempt=ending.attempt, crashes=ending.crashes)
        self._records[task_id] = record = Record(entry, state, self._epoch)
        if owed is not None:
            place = self._append(RecordKind.SETTLE, task_id, lease.fence, owed)
            record.asked = before.asked if before is not None else ""
            record.ended, record.settled = lease.fence, "" if lives_on else place
        if lives_on:
            self._set_aside(record, ending)
        return True

    def _set_aside(self, record: Record, ending: Settlement) -> None:
        entry = record.entry
        self._names.add(entry.queue)
        if record.status is State.RETRYING:
            self._scheduled[entry.id] = self._now_us() + (ending.delay_us or 0)
        else:
            self._place(entry, entry.ready_at_us or ending.claim.claimed_at_us)

    async def outbox(self, limit: int) -> list[Waiting]:
        return list(self._outbox.values())[:limit]

    async def applied(self, records: Sequence[Waiting]) -> None:
        for each in records:
            self._outbox.pop(each.place, None)
            record, holding = self._records.get(each.task_id), self._holdings.get(each.key)
            if each.kind is RecordKind.SETTLE:
                if record is not None and record.settled and record.ended == each.fence:
                    self._forget(each.task_id)
            elif each.kind is RecordKind.INSERT and holding is not None and holding.task_id == each.task_id:
                holding.stored = True

    async def outbox_depth(self) -> int:
        return len(self._outbox)

    def appended(self) -> str:
        return f"{self._appended:010d}" if self._appended else ""

    async def held(self, task_id: TaskId) -> Held | None:
        record = self._records.get(task_id)
        if record is None:
            return None
        entry, ready_at_us = record.entry, None
        if task_id in self._scheduled:
            ready_at_us = self._scheduled[task_id]
        elif task_id in self._pending[entry.queue]:
            ready_at_us = self._pending[entry.queue][task_id] - entry.priority * self._step_us
        elif (held := self._held_at(task_id)) is not None:
            ready_at_us = held[0] - entry.priority * self._step_us
        elif record.lease is not None:
            ready_at_us = entry.ready_at_us
        retrying = record.status is State.RETRYING
        entry = replace(entry, ready_at_us=ready_at_us, retrying=retrying, restored=False)
        return Held(entry, record.live, self._owed(record.asked), self._owed(record.settled))

    def _owed(self, place: str) -> bytes | None:
        return self._outbox[place].record if place in self._outbox else None

    async def steps(self, task_id: TaskId) -> dict[str, bytes]:
        return dict(self._steps.get(task_id, {}))

    async def values(self, ids: Sequence[TaskId]) -> list[Value]:
        found: list[Value] = []
        for task_id in ids:
            record = self._records.get(task_id)
            if record is not None:
                tenant, results = record.entry.tenant, self._steps.get(task_id, {})
                found.append(Value(task_id, tenant, None, record.entry.payload))
                found += [Value(task_id, tenant, name, result) for name, result in results.items()]
        return found

    async def exchange(self, changes: Sequence[tuple[Value, bytes]]) -> list[bool]:
        answers = []
        for before, value in changes:
            answers.append(before in await self.values([before.task_id]))
            if not answers[-1]:
                continue
            if before.step is None:
                record = self._records[before.task_id]
                record.entry = replace(record.entry, payload=value)
            else:
                self._steps[before.task_id][before.step] = value
        return answers
