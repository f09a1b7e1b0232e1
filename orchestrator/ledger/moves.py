"""Moves that no worker makes: a task is cancelled, expires, is due, or is opened again.

Those that end or open a task carry a fence of their own; from their commit on, no attempt before them can write.
"""

from collections.abc import Sequence
from datetime import datetime

from orchestrator.domain.ids import Fence, TaskId, Tenant
from orchestrator.domain.task import Task
from orchestrator.ledger.database import Database
from orchestrator.ledger.records import task_of
from orchestrator.ledger.statements import load

_SQL = load("moves")


class Moves:
    _database: Database
    _unhurried: Database

    async def cancel(self, tenant: Tenant, task_id: TaskId, fence: Fence) -> Task | None:
        """End a task and its open run; None when there is no such task or it is final already."""
        row = await self._database.of(tenant).row(_SQL["cancel"], tenant, task_id, fence)
        return None if row is None else task_of(row)

    async def reopen(
        self,
        tenant: Tenant,
        ids: Sequence[TaskId],
        fence: Fence,
        run_ats: Sequence[datetime | None],
        *,
        only_dead: bool = False,
        from_step: str | None = None,
        start_over: bool = False,
    ) -> list[Task]:
        """Open final tasks again, each due at its moment or now, with no attempt used; return those opened.

        An `expires_at` that has passed is forgotten. A key that was let go stays free. Steps that have succeeded are
        kept, but for `from_step` and all later ones, or with `start_over` for all.
        """
        asked = (ids, run_ats, fence, only_dead, from_step, start_over)
        rows = await self._unhurried.of(tenant).rows(_SQL["reopen"], tenant, *asked)
        return [task_of(row) for row in rows]

    async def expiring(self, limit: int) -> list[TaskId]:
        """Return tasks that no attempt on record started by their `expires_at`; a young attempt is not yet recorded."""
        return [row["id"] for row in await self._unhurried.rows(_SQL["expiring"], limit)]

    async def expire(self, fence: Fence, ids: Sequence[TaskId]) -> list[Task]:
        """End those of these tasks that are expiring still; leaves out rows that others are writing."""
        return [task_of(row) for row in await self._unhurried.rows(_SQL["expire"], fence, ids)]

    async def promote(self, ids: Sequence[TaskId]) -> None:
        """Show tasks that became due as queued. Nothing depends on it."""
        await self._unhurried.change(_SQL["promote"], ids)
