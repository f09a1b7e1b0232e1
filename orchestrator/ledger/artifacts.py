"""Artifacts on record: one row for each file of a task, written under the fence of its attempt like all it writes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from orchestrator.domain.artifact import FileKey, StoredArtifact
from orchestrator.domain.ids import Fence, TaskId, Tenant, first_id
from orchestrator.ledger.database import Database
from orchestrator.ledger.reading import CLOCKS_APART
from orchestrator.ledger.statements import load

_SQL = load("artifacts")


class Artifacts:
    _database: Database
    _unhurried: Database

    async def keep_artifact(self, artifact: StoredArtifact) -> list[FileKey] | None:
        """Put a file whose bytes are stored on record, in place of the one of the same name if there is one.

        Returns the files that nobody names any more; None for a stale attempt, which changed nothing. It may be done
        again when its commit is unknown.
        """
        file = artifact.file
        rows = await self._database.rows(
            _SQL["keep_artifact"],
            file.task_id,
            file.fence,
            file.id,
            artifact.name,
            file.bucket,
            artifact.content_type,
            artifact.size_bytes,
            artifact.sha256,
        )
        if not rows:
            return None
        return [FileKey(row["bucket"], file.task_id, Fence(row["fence"]), row["id"]) for row in rows if row["id"]]

    async def artifacts(self, tenant: Tenant, task_id: TaskId, after: str | None, limit: int) -> list[StoredArtifact]:
        """Return a task's artifacts, the oldest first, behind the id `after`."""
        rows = await self._database.of(tenant).rows(_SQL["artifacts"], tenant, task_id, after, limit)
        return [_artifact_of(row) for row in rows]

    async def artifact(self, tenant: Tenant, task_id: TaskId, artifact_id: str) -> StoredArtifact | None:
        """Return one; None when this task of this tenant has none of this id."""
        row = await self._database.of(tenant).row(_SQL["artifact"], tenant, task_id, artifact_id)
        return None if row is None else _artifact_of(row)

    async def leftovers(self, files: Sequence[FileKey], made_before: datetime) -> list[FileKey]:
        """Return those that are nobody's and never will be; of unknown tasks, those of tasks made before."""
        places: list[int] = await self._unhurried.value(
            _SQL["leftovers"],
            [file.task_id for file in files],
            [file.fence for file in files],
            [file.id for file in files],
            first_id(made_before, -CLOCKS_APART),
        )
        return [files[place - 1] for place in places]


def _artifact_of(row: asyncpg.Record) -> StoredArtifact:
    fields: dict[str, Any] = dict(row)
    file = FileKey(**{name: fields.pop(name) for name in ("bucket", "task_id", "fence", "id")})
    return StoredArtifact(file, **fields)
