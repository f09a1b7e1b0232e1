"""Resealing: values that are not sealed as they should be are found, and replaced by what they were sealed to anew.

Tasks are walked in pages, in the order of their ids. A value is replaced only where it still is what was found, so
whoever writes at the same time is never undone; everything may be run again, by several at once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Literal

from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("resealing")

Place = Literal["payload", "result", "error", "progress", "run", "step", "event"]


@dataclass(frozen=True, slots=True)
class Stale:
    """One value, as it is stored."""

    place: Place
    task_id: TaskId
    tenant: Tenant
    fence: int
    """Of a run or an event."""
    number: int
    """Of an event."""
    name: str
    """Of a step; the kind of an event."""
    value: bytes


@dataclass(frozen=True, slots=True)
class StaleFingerprint:
    """The fingerprint of a request, as it is stored."""

    task_id: TaskId
    tenant: Tenant
    idempotency_key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """How values are to be: what a sealed one begins with, what one under the newest key does, and who is encrypted."""

    sealed: str
    newest: str
    newest_fingerprint: bytes
    tenants: Collection[str]


class Resealing:
    _unhurried: Database

    async def page_end(self, after: TaskId, limit: int) -> TaskId | None:
        """Return the last of the next tasks behind an id; None when there are no more."""
        last: TaskId | None = await self._unhurried.value(_SQL["page_end"], after, limit)
        return last

    async def stale(self, after: TaskId, last: TaskId, limit: int, wanted: Wanted) -> list[Stale]:
        """Return values of the tasks behind `after`, up to `last`, that are not as they are wanted."""
        rows = await self._unhurried.rows(
            _SQL["stale"], after, last, limit, wanted.sealed, wanted.newest, list(wanted.tenants)
        )
        return [Stale(**{**row, "value": row["value"].encode()}) for row in rows]

    async def stale_fingerprints(self, after: TaskId, last: TaskId, wanted: Wanted) -> list[StaleFingerprint]:
        """Return fingerprints of these tasks that are not as they are wanted."""
        rows = await self._unhurried.rows(
            _SQL["stale_fingerprints"], after, last, wanted.newest_fingerprint, list(wanted.tenants)
        )
        return [StaleFingerprint(*row) for row in rows]

    async def stale_callbacks(self, wanted: Wanted) -> int:
        """Return how many notes of endings that are still to be told hold values that are not as they are wanted."""
        number: int = await self._unhurried.value(
            _SQL["stale_callbacks"], wanted.sealed, wanted.newest, list(wanted.tenants)
        )
        return number

    async def reseal(self, changes: Sequence[tuple[Stale, bytes]]) -> None:
        """Put each value's new form in its place, unless somebody has written there."""
        for table, group in groupby(sorted(changes, key=_table), key=_table):
            found = list(group)
            values = [stale for stale, _ in found]
            sql, *names = _TABLES[table]
            columns = [list(map(attrgetter(name), values)) for name in names]
            before, after = [stale.value.decode() for stale in values], [value.decode() for _, value in found]
            await self._unhurried.change(sql, *columns, before, after)

    async def reseal_fingerprints(self, changes: Sequence[tuple[StaleFingerprint, bytes]]) -> None:
        """The same for fingerprints."""
        await self._unhurried.change(
            _SQL["reseal_fingerprints"],
            [stale.task_id for stale, _ in changes],
            [stale.value for stale, _ in changes],
            [value for _, value in changes],
        )


_TABLES = {
    "tasks": (_SQL["reseal_tasks"], "task_id", "place"),
    "runs": (_SQL["reseal_runs"], "task_id", "fence"),
    "steps": (_SQL["reseal_steps"], "task_id", "name"),
    "events": (_SQL["reseal_events"], "task_id", "fence", "number"),
}
"""The statement of each table, and what it is given of a value besides the value."""


def _table(change: tuple[Stale, bytes]) -> str:
    place = change[0].place
    return f"{place}s" if place in ("run", "step", "event") else "tasks"
