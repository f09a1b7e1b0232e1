"""What is written while Postgres is away, as data: records on their way, and the keys that answer for them.

A record is the bytes of one write, made and read by `ledger.outbox`; nothing between looks inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.task import Entry


@dataclass(frozen=True, slots=True)
class KeyHold:
    """An idempotency key as the queue remembers it, to answer for it while Postgres is away."""

    name: str
    """Of the tenant and the key, by `keys.key_name`."""
    fingerprint: bytes
    hold_ms: int
    until_final: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """The other task that holds the key; equal fingerprints mean that the same was asked for."""

    task_id: TaskId
    fingerprint: bytes


class Durability(StrEnum):
    """Where an accepted task is kept."""

    POSTGRES = "postgres"
    REDIS = "redis"
    """On the disk of Redis, as far as it can tell."""
    MEMORY = "memory"
    """In a Redis without persistence."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A task that is accepted while Postgres is away."""

    entry: Entry
    record: bytes
    key: KeyHold | None = None
    withdrawal: bytes | None = None
    """The record that takes its row back, when it may stand in Postgres all the same and another holds its key.

    It lacks the holder's id, which is appended to it.
    """


class RecordKind(StrEnum):
    """What a record in the outbox writes."""

    INSERT = "insert"
    WITHDRAW = "withdraw"
    START = "start"
    TELL = "tell"
    STEP = "step"
    SETTLE = "settle"
    AUDIT = "audit"
    """A line of the audit; in the place of the task's id stands the line's."""


@dataclass(frozen=True, slots=True)
class Write:
    """A record of a running attempt; it is appended while the lease is the writer's."""

    kind: RecordKind
    task_id: TaskId
    fence: Fence
    record: bytes
    step: tuple[str, bytes] | None = None
    """Name and JSON result of a step, which is also answered from the queue."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record in the outbox."""

    place: str
    """It grows from record to record."""
    kind: RecordKind
    task_id: TaskId
    fence: Fence
    key: str
    """The name of the key that the task holds; empty for none."""
    record: bytes


NO_KEYS: Mapping[TaskId, KeyHold] = MappingProxyType({})
