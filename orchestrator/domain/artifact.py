"""Artifacts: files that a task keeps. What is known of one, and the key of its bytes in the store.

A key is made of ids of ours alone; the name that a handler gave is a label and never part of it. Every call of
`ctx.artifact` has a key of its own, so the bytes at a key never change, and whoever deletes one deletes no other's.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from orchestrator.domain.ids import Fence, TaskId

Bucket = Literal["orchestrator", "content"]
"""`orchestrator` is for logs and internal files, `content` for what was generated."""
BUCKETS: tuple[Bucket, ...] = get_args(Bucket)

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PATH = re.compile(rf"({_ID})/(\d{{1,19}})-({_ID})")


@dataclass(frozen=True, slots=True)
class FileKey:
    """Where the bytes of one call are: its task, the fence it ran under, and the artifact's id."""

    bucket: Bucket
    task_id: TaskId
    fence: Fence
    id: str
    """UUIDv7."""

    @property
    def path(self) -> str:
        return f"{self.task_id}/{self.fence}-{self.id}"


def file_at(bucket: Bucket, path: str) -> FileKey | None:
    """Return the key that a path in a store spells; None for what is not ours."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    return FileKey(bucket, TaskId(found[1]), Fence(int(found[2])), found[3])


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """One artifact as it is on record."""

    file: FileKey
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    """Hexadecimal."""
    created_at: datetime | None = None
    """None before it is on record."""
