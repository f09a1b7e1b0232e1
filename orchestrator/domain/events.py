"""What is told about a task while it lives: one sequence per task that only grows.

An event's place is a pair: the fence of the attempt it belongs to, and its number inside that attempt. Fences
only grow, whatever Redis forgets, so a worker numbers its own events and asks nobody. The public id is
`fence × 10^6 + number` as decimal text.

Statuses, the result and the end are not stored: they follow from the task and its runs, always at the same
places, so the hot path writes no event rows. What a handler tells (log, progress, token) is stored.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.domain.ids import Fence, TaskId, Tenant

SPAN = 1_000_000
"""Places per attempt."""
OPENING = 0
"""`created` under fence 0, `running` under an attempt's."""
FIRST_TOLD, LAST_TOLD = 1, 999_990
FAILURE = 999_996
"""The log line that says why an attempt failed."""
OUTCOME, RESULT, END = 999_997, 999_998, 999_999


class EventKind(StrEnum):
    """The SSE event names, all public."""

    STATUS = "status"
    LOG = "log"
    PROGRESS = "progress"
    TOKEN = "token"  # noqa: S105 - a model's token, not a secret
    RESULT = "result"
    END = "end"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a task's sequence; `data` is any JSON value."""

    task_id: TaskId
    fence: Fence
    number: int
    kind: EventKind
    data: Any
    at: datetime

    @property
    def place(self) -> int:
        return self.fence * SPAN + self.number


@dataclass(frozen=True, slots=True)
class Told:
    """An event on its way from a handler to the ledger and the live feed; `data` is JSON."""

    task_id: TaskId
    tenant: Tenant
    fence: Fence
    number: int
    kind: EventKind
    data: bytes
    at: datetime


def parse_event_id(text: str) -> int:
    """Return the place a public event id names; empty text is before everything. Raises InvalidInput."""
    if text == "":
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 24:
        raise InvalidInput(
            f"{text[:40]!r} is not an event id",
            [Issue("/after", "send the id of the last event you have")],
        )
    return int(text)
