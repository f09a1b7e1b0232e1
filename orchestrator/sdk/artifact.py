"""A stored file as a handler sees it."""

from dataclasses import dataclass

from orchestrator.domain.artifact import Bucket

__all__ = ["Artifact", "Bucket"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a task. Its key in the store is built from our ids; `name` is only a label."""

    id: str
    name: str
    bucket: Bucket
    content_type: str
    size_bytes: int
    sha256: str
    """Hexadecimal."""
