"""Submission: new tasks, each at most once.

A row is known again by its id, so a batch whose commit is unknown may be sent again as it is. A task whose key is
held by another is not stored; who holds it is the answer. Of a batch each tenant's tasks are stored, and its keys
looked up, behind that tenant's wall.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import asyncpg
import orjson

from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.task import NewTask
from orchestrator.ledger.columns import once, sparse
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("submission")
_TENANTS_AT_ONCE = 50
"""Each takes two round trips: so many fit into the time of one statement, also to a server that is far away."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """The task is stored."""


@dataclass(frozen=True, slots=True)
class Existing:
    """Another task holds the key; equal fingerprints mean that the same was asked for."""

    task_id: TaskId
    fingerprint: bytes


_INSERTED = Inserted()


class Submission:
    _database: Database

    async def insert(self, tasks: Sequence[NewTask]) -> list[Inserted | Existing]:
        """Store the tasks whose key is free and answer in their order. Of two with one key the first is stored.

        A key whose time is over is free. A crash half-way leaves each task stored or not, never half.
        """
        existing: dict[TaskId, Existing] = {}
        for kind in _kinds(_by_key(tasks)):
            waiting = kind
            # What is neither stored nor refused lost its holder meanwhile, and is tried again.
            while waiting and await self._insert(waiting, aside=False) < len(waiting):
                waiting = await self._refuse(waiting, existing)
        return [existing.get(task.id, _INSERTED) for task in tasks]

    async def holders_of(self, tasks: Sequence[NewTask]) -> list[Existing | None]:
        """Return for each task who holds its key; None where nobody does."""
        found: dict[TaskId, Existing] = {}
        for tenant, own in _by_tenant(tasks).items():
            for task, row in zip(own, await self._holders(tenant, own), strict=True):
                if row["id"] is not None and not row["expired"]:
                    found[task.id] = Existing(TaskId(row["id"]), row["fingerprint"])
        return [found.get(task.id) for task in tasks]

    async def insert_aside(self, tasks: Sequence[NewTask]) -> None:
        """Store tasks whose keys answer for others, and go on doing so."""
        for kind in _kinds(tasks):
            await self._insert(kind, aside=True)

    async def _insert(self, tasks: Sequence[NewTask], *, aside: bool) -> int:
        """Return how many of one kind were stored. One transaction, unless there are very many tenants."""
        stored, tenants = 0, list(_by_tenant(tasks).items())
        sql = _SQL["insert"] if tasks[0].arrival is None else _SQL["insert_delivered"]
        for first in range(0, len(tenants), _TENANTS_AT_ONCE):
            some = tenants[first : first + _TENANTS_AT_ONCE]
            columns = {tenant: (*_columns(own), aside, *_arrivals(own)) for tenant, own in some}
            stored += await self._database.change_of_each(sql, columns)
        return stored

    async def _refuse(self, tasks: Sequence[NewTask], existing: dict[TaskId, Existing]) -> list[NewTask]:
        """Note who holds the keys of tasks that were not stored; return those whose key is free now."""
        free: list[NewTask] = []
        for tenant, own in _by_tenant(tasks).items():
            free += await self._refuse_of(tenant, own, existing)
        return free

    async def _refuse_of(
        self, tenant: Tenant, tasks: Sequence[NewTask], existing: dict[TaskId, Existing]
    ) -> list[NewTask]:
        free, expired = [], []
        for task, holder in zip(tasks, await self._holders(tenant, tasks), strict=True):
            if holder["stored"]:
                continue
            if holder["id"] is None:
                free.append(task)
            elif holder["expired"]:
                free.append(task)
                expired.append(holder["id"])
            else:
                existing[task.id] = Existing(TaskId(holder["id"]), holder["fingerprint"])
        if expired:
            await self._database.of(tenant).change(_SQL["release"], tenant, expired)
        return free

    async def _holders(self, tenant: Tenant, tasks: Sequence[NewTask]) -> list[asyncpg.Record]:
        ids, keys = [task.id for task in tasks], [task.idempotency_key for task in tasks]
        return await self._database.of(tenant).rows(_SQL["holders"], tenant, ids, keys)


def _by_tenant(tasks: Sequence[NewTask]) -> dict[Tenant, list[NewTask]]:
    """Each tenant's, in the order of the first of them."""
    groups: dict[Tenant, list[NewTask]] = {}
    for task in tasks:
        groups.setdefault(task.tenant, []).append(task)
    return groups


def _kinds(tasks: Sequence[NewTask]) -> list[Sequence[NewTask]]:
    """Those that came by webhook apart: each is stored with the record of its delivery."""
    if all(task.arrival is None for task in tasks):
        return [tasks] if tasks else []
    plain = [task for task in tasks if task.arrival is None]
    delivered = [task for task in tasks if task.arrival is not None]
    return [plain, delivered] if plain else [delivered]


def _arrivals(tasks: Sequence[NewTask]) -> list[list[Any]]:
    """The columns of what is kept of deliveries; none for tasks that did not come by one."""
    arrivals = [astuple(task.arrival) for task in tasks if task.arrival is not None]
    return [list(column) for column in zip(*arrivals, strict=True)]


def _by_key(tasks: Sequence[NewTask]) -> Sequence[NewTask]:
    """In the order of their keys: two batches that wait for each other's keys do so in one order only."""
    if all(task.idempotency_key is None for task in tasks):
        return tasks
    return sorted(tasks, key=lambda task: (task.tenant, task.idempotency_key or ""))


def _columns(tasks: Sequence[NewTask]) -> tuple[list[Any], ...]:
    return (
        [task.id for task in tasks],
        once([task.tenant for task in tasks]),
        once([task.type for task in tasks]),
        once([task.queue for task in tasks]),
        once([task.priority for task in tasks]),
        [task.payload.decode() for task in tasks],
        sparse([orjson.dumps(task.tags).decode() if task.tags else None for task in tasks]),
        once([task.max_retries for task in tasks]),
        once([task.timeout_seconds for task in tasks]),
        sparse([task.idempotency_key for task in tasks]),
        sparse([task.key_until_final or None for task in tasks]),
        sparse([task.key_expires_at for task in tasks]),
        sparse([None if task.idempotency_key is None else task.fingerprint for task in tasks]),
        sparse([task.parent_id for task in tasks]),
        sparse([task.run_at for task in tasks]),
        sparse([task.expires_at for task in tasks]),
        [task.created_at for task in tasks],
        [task.traceparent for task in tasks],
        sparse([task.called or None for task in tasks]),
        sparse([task.callback_url for task in tasks]),
    )
