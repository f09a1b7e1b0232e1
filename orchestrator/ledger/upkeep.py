"""Upkeep: what the chores ask, to rebuild the queue, open epochs, remember pauses and forget old tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.artifact import FileKey
from orchestrator.domain.errors import NotStarted, Unavailable
from orchestrator.domain.ids import Fence, TaskId, first_id
from orchestrator.domain.task import Entry
from orchestrator.ledger.database import Database
from orchestrator.ledger.reading import CLOCKS_APART
from orchestrator.ledger.records import entry_of
from orchestrator.ledger.statements import load

_SQL = load("upkeep")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was forgotten: how many tasks, and the files of theirs that nobody names any more."""

    tasks: int
    files: list[FileKey]


class Upkeep:
    _database: Database
    _unhurried: Database

    async def live_ids(self, after: TaskId, limit: int) -> list[TaskId]:
        """Return the next ids behind `after` of tasks that the queue should hold, waiting or leased."""
        return [row["id"] for row in await self._unhurried.rows(_SQL["live_ids"], after, limit)]

    async def fresh_ids(self, first: TaskId, until: TaskId) -> list[TaskId]:
        """Return the ids of such tasks from `first` on and below `until`."""
        return [row["id"] for row in await self._unhurried.rows(_SQL["fresh_ids"], first, until)]

    async def entries_of(self, ids: Sequence[TaskId]) -> list[Entry]:
        """Return what the queue should hold of these tasks; leaves out those that have ended or wait."""
        return [entry_of(row) for row in await self._unhurried.rows(_SQL["entries_of"], ids)]

    async def ended_of(self, ids: Sequence[TaskId]) -> list[TaskId]:
        """Return those of these tasks that are final."""
        return [row["id"] for row in await self._unhurried.rows(_SQL["ended_of"], ids)]

    async def known(self, ids: Sequence[TaskId]) -> set[TaskId]:
        """Return those of these tasks that are stored, in whatever state."""
        return {row["id"] for row in await self._database.rows(_SQL["known"], ids)}

    async def next_epoch(self) -> int:
        """Return a number higher than every one before it, whatever happens to the caller."""
        epoch: int = await self._database.value(_SQL["next_epoch"])
        return epoch

    async def last_epoch(self) -> int:
        """Return the highest epoch given out; 0 before the first."""
        epoch: int = await self._database.value(_SQL["last_epoch"])
        return epoch

    async def pause(self, queue: str, paused: bool) -> None:
        """Remember whether a queue is paused; one never heard of is not."""
        await self._database.change(_SQL["pause"], queue, paused)

    async def paused_queues(self) -> set[str]:
        """Return the names of the queues that are paused now."""
        return {row["name"] for row in await self._database.rows(_SQL["paused_queues"])}

    async def prune(self, finished_before: datetime, limit: int) -> Pruned:
        """Delete the oldest tasks that ended before a moment, with their runs, events, steps and artifacts."""
        newest = first_id(finished_before, CLOCKS_APART)
        rows = await self._unhurried.rows(_SQL["prune"], newest, finished_before, limit)
        found = [FileKey(row["bucket"], row["task_id"], Fence(row["fence"]), row["id"]) for row in rows if row["id"]]
        return Pruned(rows[0]["tasks"], found)

    async def ping(self) -> None:
        """Return when Postgres answered and has our tables; raises Unavailable."""
        if not await self._database.value(_SQL["ping"]):
            raise Unavailable("postgres") from NotStarted("it has none of our tables: run `aurea migrate`")
