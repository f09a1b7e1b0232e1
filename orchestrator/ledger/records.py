"""How rows are read back as the domain's values. JSON is decoded, times are UTC."""

from typing import Any

import asyncpg
from orjson import loads

from orchestrator.domain.events import Event, EventKind
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import Entry, Run, Task

_JSON = ("payload", "result", "error", "progress", "tags")


def task_of(row: asyncpg.Record) -> Task:
    """A row of the columns `{task}`."""
    fields = dict(row)
    for name in _JSON:
        fields[name] = _value(fields[name])
    fields["status"] = State(fields["status"])
    return Task(**fields)


def run_of(row: asyncpg.Record) -> Run:
    fields = dict(row)
    fields["error"] = _value(fields["error"])
    fields["status"] = RunStatus(fields["status"])
    return Run(**fields)


def event_of(task_id: TaskId, row: asyncpg.Record) -> Event:
    fence, number, kind, data, at = row
    return Event(task_id, Fence(fence), number, EventKind(kind), loads(data), at)


def entry_of(row: asyncpg.Record) -> Entry:
    """A row as the queue holds it, marked as restored."""
    return Entry(**{**row, "payload": row["payload"].encode()}, restored=True)


def _value(text: str | None) -> Any:
    return None if text is None else loads(text)
