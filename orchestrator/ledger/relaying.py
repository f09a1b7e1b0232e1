"""Relaying: what only the relay of the outbox writes. Every statement may be run again, by several relays at once."""

from collections.abc import Sequence

import orjson

from orchestrator.domain.events import Told
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.task import Claim, Settlement
from orchestrator.ledger.database import Database
from orchestrator.ledger.outbox_records import Step
from orchestrator.ledger.statements import load

_SQL = load("relaying")

Fenced = Claim | Told | Step | Settlement


class Relaying:
    _database: Database

    async def withdraw(self, withdrawals: Sequence[tuple[TaskId, TaskId | None]]) -> None:
        """End rows that no attempt has touched, and give each key that one held to the task accepted in its place.

        A withdrawal is the row's id and that task's, if known; it finds the key free when it comes later. A row that
        was touched stays, and so does its key.
        """
        await self._database.change(
            _SQL["withdraw"],
            [task_id for task_id, _ in withdrawals],
            [holder for _, holder in withdrawals],
        )

    async def save_steps(self, steps: Sequence[Step]) -> list[bool]:
        """Keep the results of finished steps; False for one whose attempt is stale."""
        places = await self._database.value(
            _SQL["save_steps"],
            [step.claim.entry.id for step in steps],
            [step.claim.fence for step in steps],
            [step.name for step in steps],
            [step.result.decode() for step in steps],
        )
        accepted = set(places)
        return [place in accepted for place in range(1, len(steps) + 1)]

    async def repeated(self, writes: Sequence[Fenced]) -> list[bool]:
        """Tell which of these writes, refused now, were accepted before what refuses them.

        An ending without a run leaves no trace once a newer attempt has written: it counts as refused.
        """
        columns = [list(column) for column in zip(*map(_mark, writes), strict=True)]
        accepted = set(await self._database.value(_SQL["repeated"], *columns))
        return [place in accepted for place in range(1, len(writes) + 1)]

    async def file_runs(self, endings: Sequence[Settlement]) -> None:
        """Add runs to the history that are older than what the task's row shows; none that succeeded."""
        claims = [ending.claim for ending in endings]
        await self._database.change(
            _SQL["late_runs"],
            [claim.entry.id for claim in claims],
            [claim.fence for claim in claims],
            [claim.run_fence for claim in claims],
            [ending.state for ending in endings],
            [ending.run_status for ending in endings],
            [claim.attempt for claim in claims],
            [claim.worker for claim in claims],
            [claim.claimed_at_us for claim in claims],
            [ending.claim.claimed_at_us + ending.duration_us for ending in endings],
            [None if ending.error is None else orjson.dumps(ending.error).decode() for ending in endings],
        )

    async def file_events(self, events: Sequence[Told]) -> None:
        """Add events of such runs to the history."""
        await self._database.change(
            _SQL["late_events"],
            [event.task_id for event in events],
            [event.fence for event in events],
            [event.number for event in events],
            [event.kind for event in events],
            [event.data.decode() for event in events],
            [event.at for event in events],
        )


def _mark(write: Fenced) -> tuple[RecordKind, TaskId, Fence, str | None, int | None]:
    """What a write is known by: kind, task, fence; the name of a step, the number of an event."""
    match write:
        case Told():
            return RecordKind.TELL, write.task_id, write.fence, None, write.number
        case Step():
            return RecordKind.STEP, write.claim.entry.id, write.claim.fence, write.name, None
        case Settlement():
            return RecordKind.SETTLE, write.claim.entry.id, write.claim.fence, None, None
        case Claim():
            return RecordKind.START, write.entry.id, write.fence, None, None
