"""The audit: lines are added to their tenants' trails and read; no statement changes or deletes one."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import asyncpg
import orjson

from orchestrator.domain.audit import Act, AuditFilter, KeptLine, Line, document, written
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("audit")


class Audit:
    _database: Database
    _unhurried: Database

    async def append_lines(self, lines: Sequence[Line]) -> None:
        """Add lines, in order; all of them or none. One that was added before is passed over.

        Any number of processes may add at once: those of one tenant wait for each other, so that his trail has
        neither a gap nor a fork. Where all share lines, the answer does not wait for the disk: when Postgres itself
        dies, the last half second of them may be gone, from the end.
        """
        soon = all(line.act.shared for line in lines)
        await self._database.value(_SQL["append"], *_columns(list({line.id: line for line in lines}.values())), soon)

    async def audit_lines(
        self, tenant: Tenant, wanted: AuditFilter, from_number: int | None, limit: int, *, oldest_first: bool
    ) -> list[KeptLine]:
        """Return a tenant's lines behind `from_number`, in the direction asked for."""
        sql = _SQL["oldest_lines"] if oldest_first else _SQL["newest_lines"]
        asked = (wanted.actor, wanted.action, wanted.target, wanted.after, wanted.before)
        rows = await self._unhurried.of(tenant).rows(sql, tenant, from_number, *asked, limit)
        return [_kept(row) for row in rows]


def _columns(lines: Sequence[Line]) -> tuple[list[Any], ...]:
    acts = [line.act for line in lines]
    return (
        [line.id for line in lines],
        _once([act.tenant for act in acts]),
        [line.at for line in lines],
        _once([act.actor_kind for act in acts]),
        _once([act.actor_id for act in acts]),
        _once([act.action for act in acts]),
        [_array(act.targets) for act in acts],
        _once([act.status for act in acts]),
        _once([act.address for act in acts]),
        [act.trace_id for act in acts],
        [orjson.dumps(act.details).decode() for act in acts],
        [sha256(written(document(line))).digest() for line in lines],
    )


def _once(values: list[Any]) -> list[Any]:
    return values[:1] if len(set(values)) == 1 else values


def _array(texts: Sequence[str]) -> str:
    """As Postgres spells an array. JSON spells its texts alike as long as they hold no control characters."""
    return "{" + orjson.dumps(texts).decode()[1:-1] + "}"


def _kept(row: asyncpg.Record) -> KeptLine:
    fields: dict[str, Any] = dict(row)
    number, chained, line_id, at = (fields.pop(name) for name in ("number", "hash", "id", "at"))
    fields["details"] = orjson.loads(fields["details"])
    return KeptLine(number, Line(TaskId(line_id), at, Act(**fields)), chained)
