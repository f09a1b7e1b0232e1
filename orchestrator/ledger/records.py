"""How rows are read back as the domain's values. JSON is decoded, times are UTC."""

from typing import Any

import asyncpg
from orjson import loads

from orchestrator.domain.events import Event, EventKind
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.steps import Child, Step, StepKind, StepView
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


def step_of(row: asyncpg.Record) -> Step:
    name, kind, result, child_id, wake_at, status, child_result, child_error = row.values()
    child = None
    if status is not None:
        child = Child(State(status), None if child_result is None else child_result.encode(), _value(child_error))
    return Step(name, None if result is None else result.encode(), StepKind(kind), child_id, wake_at, child)


def step_view_of(row: asyncpg.Record) -> StepView:
    return StepView(
        row["name"],
        StepKind(row["kind"]),
        row["status"],
        _value(row["answer"]),
        _value(row["error"]),
        row["child_id"],
        row["wake_at"],
        row["fence"],
        row["at"],
    )


def entry_of(row: asyncpg.Record) -> Entry:
    """A row as the queue holds it, marked as restored."""
    return Entry(**{**row, "payload": row["payload"].encode()}, restored=True)


def _value(text: str | None) -> Any:
    return None if text is None else loads(text)
