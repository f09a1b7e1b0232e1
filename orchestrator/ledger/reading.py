"""Reading tasks: one, lists, and the dead letters. Every statement names the tenant, and Postgres holds it to that.

Lists are read in two steps: the system looks up the ids, the tenant reads the rows. Behind row level security Postgres
walks no index by a state or a tag, since comparing those is not proven to keep what it compares to itself.
"""

from collections.abc import Sequence
from datetime import timedelta

import orjson

from orchestrator.domain.filters import DeadFilter, DeadGroup, TaskFilter
from orchestrator.domain.ids import HIGHEST_ID, LOWEST_ID, TaskId, Tenant, first_id
from orchestrator.domain.states import State
from orchestrator.domain.steps import StepView
from orchestrator.domain.task import Task
from orchestrator.ledger.database import Database
from orchestrator.ledger.records import step_view_of, task_of
from orchestrator.ledger.statements import load

_SQL = load("reading")

CLOCKS_APART = timedelta(hours=1)
"""An id carries its maker's time; this much it may differ from `created_at`."""


class Reading:
    _database: Database

    async def read(self, tenant: Tenant, task_id: TaskId) -> Task | None:
        """Return one task; None when this tenant has none of this id."""
        row = await self._database.of(tenant).row(_SQL["read"], tenant, task_id)
        return None if row is None else task_of(row)

    async def page(self, tenant: Tenant, wanted: TaskFilter, before: TaskId | None, limit: int) -> list[Task]:
        """Return tasks that fit, newest first, below the id `before`."""
        after, until = wanted.created_after, wanted.created_before
        highest = HIGHEST_ID if until is None else first_id(until, CLOCKS_APART)
        narrowed = (
            tenant,
            list(State) if wanted.status is None else [wanted.status],
            min(before or HIGHEST_ID, highest),
            LOWEST_ID if after is None else first_id(after, -CLOCKS_APART),
            after,
            until,
            wanted.type,
            wanted.queue,
            wanted.q,
            limit,
        )
        if wanted.tag is None and wanted.parent_id is None:
            found = await self._database.rows(_SQL["page"], *narrowed)
        else:
            tags = None if wanted.tag is None else orjson.dumps(dict([wanted.tag])).decode()
            found = await self._database.rows(_SQL["page_of_few"], *narrowed, tags, wanted.parent_id)
        ids = [row["id"] for row in found]
        rows = await self._database.of(tenant).rows(_SQL["these"], tenant, ids) if ids else []
        return [task_of(row) for row in rows]

    async def own(self, tenant: Tenant, ids: Sequence[TaskId]) -> set[TaskId]:
        """Return those of these tasks that are the tenant's."""
        return {row["id"] for row in await self._database.of(tenant).rows(_SQL["own"], tenant, ids)}

    async def list_steps(self, tenant: Tenant, task_id: TaskId) -> list[StepView]:
        """Return what a task has finished or begun, the first first."""
        return [step_view_of(row) for row in await self._database.of(tenant).rows(_SQL["list_steps"], tenant, task_id)]

    async def dead(self, tenant: Tenant, wanted: DeadFilter, before: TaskId | None, limit: int) -> list[Task]:
        """Return dead letters that fit, newest first, below the id `before`."""
        narrowed = (before or HIGHEST_ID, wanted.type, wanted.fingerprint)
        rows = await self._database.of(tenant).rows(_SQL["dead"], tenant, *narrowed, limit)
        return [task_of(row) for row in rows]

    async def dead_ids(self, tenant: Tenant, wanted: DeadFilter, limit: int) -> list[TaskId]:
        """Return the oldest dead letters that fit."""
        narrowed = (wanted.type, wanted.fingerprint)
        rows = await self._database.of(tenant).rows(_SQL["dead_ids"], tenant, *narrowed, limit)
        return [TaskId(row["id"]) for row in rows]

    async def dead_letters(self) -> int:
        """Return how many there are, of all tenants."""
        number: int = await self._database.value(_SQL["dead_letters"])
        return number

    async def dead_groups(self, tenant: Tenant, limit: int = 200) -> list[tuple[TaskId, DeadGroup]]:
        """Return dead letters counted by cause and type, the largest group first, each behind its newest task's id."""
        rows = await self._database.of(tenant).rows(_SQL["dead_groups"], tenant, limit)
        return [(TaskId(newest), DeadGroup(*group)) for newest, *group in rows]
