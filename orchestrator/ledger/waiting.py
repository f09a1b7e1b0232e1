"""Waiting: tasks that hold no worker, what wakes them, and the locks that they may wait for.

Parking and waking never miss each other: whoever ends what a task waits for asks to wake it after its own commit, and
whoever parks a task asks so as well after its own; the later of the two sees what the other wrote.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from orchestrator.domain.ids import Fence, TaskId, Tenant
from orchestrator.domain.states import State
from orchestrator.domain.steps import Wait
from orchestrator.domain.task import Claim, Settlement
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("waiting")


class Waiting:
    _database: Database
    _unhurried: Database

    async def park(self, ending: Settlement) -> bool:
        """Let a task wait; False for a stale attempt. Parked by an earlier call, it is accepted again."""
        claim, wait = ending.claim, ending.wait
        if wait is None:
            raise ValueError("this ending waits for nothing")
        parked = await self._database.value(
            _SQL["park"],
            claim.entry.id,
            claim.fence,
            ending.attempt,
            ending.crashes,
            claim.worker,
            datetime.fromtimestamp(claim.claimed_at_us / 1e6, UTC),
            wait.wake_at,
            list(wait.children) or None,
            wait.every_child,
            wait.lock,
            wait.money,
            None if ending.progress is None else ending.progress.decode(),
        )
        return parked is True or await self._database.value(_SQL["is_parked"], claim.entry.id, claim.fence) is True

    async def wake(self, ids: Sequence[TaskId]) -> list[TaskId]:
        """Queue those of these tasks whose wait is over, and return them."""
        return [row["id"] for row in await self._database.rows(_SQL["wake"], ids)]

    async def wait_of(self, tenant: Tenant, task_id: TaskId) -> Wait | None:
        """Return what a task waits for."""
        row = await self._database.of(tenant).row(_SQL["wait_of"], tenant, task_id)
        if row is None:
            return None
        return Wait(
            tuple(row["awaited"] or ()), row["awaits_all"], row["run_at"], row["awaits_lock"], row["awaits_money"]
        )

    async def live_among(self, tenant: Tenant, ids: Sequence[TaskId]) -> list[tuple[TaskId, State]]:
        """Return those of these tasks of the tenant that have not ended, and how they stand."""
        rows = await self._database.of(tenant).rows(_SQL["live_among"], tenant, ids)
        return [(row["id"], State(row["status"])) for row in rows]

    async def parents_of(self, ids: Sequence[TaskId]) -> list[TaskId]:
        """Return the tasks that called these."""
        return [row["parent_id"] for row in await self._database.rows(_SQL["parents_of"], ids)]

    async def due(self, limit: int) -> list[TaskId]:
        """Return waiting tasks whose moment has come."""
        return [row["id"] for row in await self._unhurried.rows(_SQL["due"], limit)]

    async def waiting_ids(self, after: TaskId, limit: int) -> list[TaskId]:
        """Return the next ids behind `after` of tasks that wait for children or a lock."""
        return [row["id"] for row in await self._unhurried.rows(_SQL["waiting_ids"], after, limit)]

    async def called_children(self, ids: Sequence[TaskId]) -> list[TaskId]:
        """Return the children that these tasks called and that have not ended."""
        return [row["id"] for row in await self._database.rows(_SQL["called_children"], ids)]

    async def orphans(self, limit: int) -> list[tuple[Tenant, TaskId]]:
        """Return called children that have not ended although their parent was cancelled."""
        rows = await self._unhurried.rows(_SQL["orphans"], limit)
        return [(Tenant(row["tenant"]), row["id"]) for row in rows]

    async def take_lock(self, claim: Claim, name: str) -> tuple[bool, Fence | None]:
        """Give a lock to the claim's task if it is free or its already: its fence, None while another task holds it.

        The first is False for a stale attempt.
        """
        row = await self._database.row(_SQL["take_lock"], claim.entry.id, claim.fence, name)
        return (False, None) if row is None else (row["fresh"], row["fence"])

    async def release_lock(self, claim: Claim, name: str) -> TaskId | None:
        """Let go of a lock that the claim's task holds; return the oldest task that waits for it."""
        next_id: TaskId | None = await self._database.value(_SQL["release_lock"], claim.entry.id, claim.fence, name)
        return next_id

    async def lock_holder(self, tenant: Tenant, name: str) -> TaskId | None:
        """Return the task that a lock was given to last."""
        holder: TaskId | None = await self._database.of(tenant).value(_SQL["lock_holder"], tenant, name)
        return holder
