"""What lists of tasks are narrowed to, and how dead letters are counted.

A field that is None narrows nothing; fields that are given must all fit.
"""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.ids import TaskId
from orchestrator.domain.states import State


@dataclass(frozen=True, slots=True)
class TaskFilter:
    status: State | None = None
    type: str | None = None
    queue: str | None = None
    tag: tuple[str, str] | None = None
    """A key and the value it must have."""
    parent_id: TaskId | None = None
    created_after: datetime | None = None
    """This moment or later."""
    created_before: datetime | None = None
    q: str | None = None
    """Text in the type, the idempotency key, the tags or the error, in any case."""


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """Which dead letters."""

    type: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one task type with the same cause."""

    fingerprint: str
    type: str
    count: int
    message: str
    """Of the newest task among them."""
    last_at: datetime
