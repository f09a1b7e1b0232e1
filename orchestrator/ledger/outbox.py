"""The outbox applied: records become rows, in the order in which each task's were written, many at a time.

Everything may be applied twice, and by two relays at once: rows are known by their ids and every write of an attempt
by its fence, so a second application changes nothing and moves no task back. The one exception: a task that was
pruned between the two, which takes a day at least, comes back as it was inserted.

A record that Postgres will never take is found by halving its batch, and reported; the others are written.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from orchestrator.domain.ids import TaskId
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.outcome import unstorable
from orchestrator.domain.task import NewTask
from orchestrator.ledger.database import REFUSED
from orchestrator.ledger.outbox_records import (
    audited,
    decode,
    inserted,
    read_inserted,
    read_settled,
    settled,
    started,
    step,
    told,
    withdrawn,
)
from orchestrator.ledger.postgres import Existing, PostgresLedger

__all__ = [
    "Applied", "Refused", "apply", "audited", "inserted", "read_inserted", "read_settled", "settled", "started", "step",
    "told", "withdrawn",
]  # fmt: skip

Record = tuple[RecordKind, TaskId, bytes]

_ORDER = (
    RecordKind.WITHDRAW,
    RecordKind.INSERT,
    RecordKind.START,
    RecordKind.TELL,
    RecordKind.STEP,
    RecordKind.SETTLE,
    RecordKind.AUDIT,
)
_NOTES = frozenset({RecordKind.TELL, RecordKind.STEP})
"""They leave the task's row alone, so those between two others are written together."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that Postgres will never take. Of an ending it is written that the task failed."""

    place: int
    """In the batch."""
    reason: str


@dataclass(slots=True)
class Applied:
    """What became of a batch."""

    written: int = 0
    """How many records Postgres has now, by this call or one before."""
    stale: list[int] = field(default_factory=list)
    """The places of those whose task is final, gone or has a newer attempt: they changed nothing."""
    refused: list[Refused] = field(default_factory=list)
    conflicts: list[tuple[TaskId, TaskId]] = field(default_factory=list)
    """Tasks that are stored without their keys, each with the task that holds the key."""


async def apply(ledger: PostgresLedger, records: Sequence[Record]) -> Applied:
    """Write a batch of up to 1000 records; all of them are done with when it returns.

    Raises Unavailable when Postgres is away: some may be written then, and all are to be applied again.
    """
    batch = _Batch(ledger)
    for place, (kind, task_id, record) in enumerate(records):
        batch.add(place, kind, task_id, record)
    return await batch.write()


@dataclass(slots=True)
class _Piece:
    place: int
    kind: RecordKind
    write: Any
    """What `decode` makes of this kind."""


class _Batch:
    """Each task's records wait in a line of stages; the first stages of all tasks are written together."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger = ledger
        self._applied = Applied()
        self._stages: dict[TaskId, deque[list[_Piece]]] = {}
        self._held_up: set[TaskId] = set()
        self._stale: list[_Piece] = []

    def add(self, place: int, kind: RecordKind, task_id: TaskId, record: bytes) -> None:
        try:
            piece = _Piece(place, kind, decode(kind, record))
        except ValueError as error:
            self._applied.refused.append(Refused(place, str(error)))
            return
        stages = self._stages.setdefault(task_id, deque())
        if kind in _NOTES and stages and stages[-1][0].kind in _NOTES:
            stages[-1].append(piece)
        else:
            stages.append([piece])

    async def write(self) -> Applied:
        while self._stages:
            front = [piece for stages in self._stages.values() for piece in stages[0]]
            front.sort(key=attrgetter("place"))
            self._held_up.clear()
            for kind in _ORDER:
                if pieces := [piece for piece in front if piece.kind is kind]:
                    await self._write_all(kind, pieces)
            self._advance()
        await self._judge_stale()
        return self._applied

    def _advance(self) -> None:
        for task_id in self._stages.keys() - self._held_up:
            self._stages[task_id].popleft()
        self._stages = {task_id: stages for task_id, stages in self._stages.items() if stages}

    async def _write_all(self, kind: RecordKind, pieces: list[_Piece]) -> None:
        try:
            accepted = await self._store(kind, [piece.write for piece in pieces])
        except REFUSED as error:
            if len(pieces) > 1:
                half = len(pieces) // 2
                await self._write_all(kind, pieces[:half])
                await self._write_all(kind, pieces[half:])
            else:
                await self._refuse(pieces[0], str(error) or repr(error))
            return
        self._applied.written += sum(accepted)
        if kind is not RecordKind.INSERT:
            self._stale += [piece for piece, fresh in zip(pieces, accepted, strict=True) if not fresh]

    async def _store(self, kind: RecordKind, writes: list[Any]) -> list[bool]:
        """Write records of one kind; False for one that changed nothing."""
        match kind:
            case RecordKind.WITHDRAW:
                await self._ledger.withdraw(writes)
            case RecordKind.INSERT:
                return await self._insert(writes)
            case RecordKind.START:
                accepted = await self._ledger.start(writes)
                return [claim.entry.id in accepted for claim in writes]
            case RecordKind.TELL:
                return await self._ledger.tell(writes)
            case RecordKind.STEP:
                return await self._ledger.save_steps(writes)
            case RecordKind.SETTLE:
                return await self._ledger.settle(writes, late=True)
            case RecordKind.AUDIT:
                await self._ledger.append_lines(writes)
        return [True] * len(writes)

    async def _insert(self, tasks: list[NewTask]) -> list[bool]:
        """Store tasks, also those whose keys others hold; False for one that is held up.

        Its holder has records in this batch: they may be what gives the key up.
        """
        answers = zip(tasks, await self._ledger.insert(tasks), strict=True)
        conflicts = [(task, answer.task_id) for task, answer in answers if isinstance(answer, Existing)]
        held_up = {task.id for task, holder in conflicts if holder in self._stages}
        aside = [(task, holder) for task, holder in conflicts if task.id not in held_up]
        if aside:
            await self._ledger.insert_aside([task for task, _ in aside])
        self._held_up |= held_up
        self._applied.conflicts += [(task.id, holder) for task, holder in aside]
        return [task.id not in held_up for task in tasks]

    async def _refuse(self, piece: _Piece, reason: str) -> None:
        self._applied.refused.append(Refused(piece.place, reason))
        if piece.kind is RecordKind.SETTLE:
            with suppress(*REFUSED):
                await self._ledger.settle([unstorable(piece.write, reason)], late=True)

    async def _judge_stale(self) -> None:
        """Tell what is stale from what was written already, before something newer was."""
        if not self._stale:
            return
        repeated = await self._ledger.repeated([piece.write for piece in self._stale])
        self._applied.written += sum(repeated)
        stale = [piece for piece, known in zip(self._stale, repeated, strict=True) if not known]
        self._applied.stale = [piece.place for piece in stale]
        # Whoever appended held the lease then: what it did happened, though another has gone on since.
        if runs := [piece.write for piece in stale if piece.kind is RecordKind.SETTLE]:
            await self._ledger.file_runs(runs)
        if events := [piece.write for piece in stale if piece.kind is RecordKind.TELL]:
            await self._ledger.file_events(events)
