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
        given = orjson.dumps([_given(line) for line in lines]).decode()
        await self._database.value(_SQL["append"], given, soon)

    async def audit_lines(
        self, tenant: Tenant, wanted: AuditFilter, from_number: int | None, limit: int, *, oldest_first: bool
    ) -> list[KeptLine]:
        """Return a tenant's lines behind `from_number`, in the direction asked for."""
        sql = _SQL["oldest_lines"] if oldest_first else _SQL["newest_lines"]
        asked = (wanted.actor, wanted.action, wanted.target, wanted.after, wanted.before)
        rows = await self._unhurried.of(tenant).rows(sql, tenant, from_number, *asked, limit)
        return [_kept(row) for row in rows]


def _given(line: Line) -> dict[str, Any]:
    text = written(document(line))
    return {"document": orjson.Fragment(text), "digest": sha256(text).hexdigest()}


def _kept(row: asyncpg.Record) -> KeptLine:
    fields: dict[str, Any] = dict(row)
    number, chained, line_id, at = (fields.pop(name) for name in ("number", "hash", "id", "at"))
    fields["details"] = orjson.loads(fields["details"])
    return KeptLine(number, Line(TaskId(line_id), at, Act(**fields)), chained)
