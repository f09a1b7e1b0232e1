"""The tables of the memory ledger, the order of the states, and how statements take their columns apart.

Who watches is told of every write: the rows themselves refuse nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from orchestrator.domain.ids import TaskId

Row = dict[str, Any]

STATES = ("scheduled", "queued", "running", "retrying", "waiting", "succeeded", "failed", "cancelled", "expired")
RANK = {state: rank for rank, state in enumerate(STATES)}
RUNNING, WAITING, FINAL = RANK["running"], RANK["waiting"], RANK["succeeded"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNNESTED = re.compile(r"\bas\s+\w+\s*\(([\w\s,]+)\)")

TASK: Row = {
    "id": "", "tenant": "", "type": "", "status": "queued", "queue": "", "priority": 5, "payload": "{}", "result": None,
    "error": None, "progress": None, "tags": "{}", "attempt": 0, "crashes": 0, "max_retries": 0, "timeout_seconds": 0.0,
    "idempotency_key": None, "key_held": False, "key_until_final": False, "key_expires_at": None, "fingerprint": None,
    "parent_id": None, "called": False, "delayed": False, "run_at": None, "expires_at": None, "created_at": _EPOCH,
    "started_at": None, "finished_at": None, "worker_id": None, "traceparent": "", "cost_usd": 0.0, "fence": 0,
    "callback_url": None,
}  # fmt: skip
_NOT_READ = {"called", "key_held", "key_until_final", "key_expires_at", "fingerprint", "delayed"}
READ = tuple(name for name in TASK if name not in _NOT_READ)


class Witness(Protocol):
    """Told of what is written, before it stands."""

    def task_changes(self, statement: str, row: Row, changes: Row) -> None: ...

    def attempt_writes(self, statement: str, task_id: TaskId, fence: int) -> None: ...

    def run_changes(self, before: Row | None, after: Row) -> None: ...


class Blind:
    """Sees nothing."""

    def task_changes(self, statement: str, row: Row, changes: Row) -> None:
        return

    def attempt_writes(self, statement: str, task_id: TaskId, fence: int) -> None:
        return

    def run_changes(self, before: Row | None, after: Row) -> None:
        return


@dataclass
class Tables:
    """What Postgres keeps, and its clock."""

    now: Callable[[], datetime]
    witness: Witness = field(default_factory=Blind)
    tasks: dict[str, Row] = field(default_factory=dict)
    live: dict[str, Row] = field(default_factory=dict)
    """Those of the tasks that are not final."""
    runs: dict[tuple[str, int], Row] = field(default_factory=dict)
    events: dict[tuple[str, int, int], Row] = field(default_factory=dict)
    steps: dict[tuple[str, str], Row] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    """The unique index: who holds a key."""
    paused: set[str] = field(default_factory=set)
    epoch: int = 0

    def insert(self, row: Row) -> bool:
        """False when the id or the key stands in the way."""
        key = (row["tenant"], row["idempotency_key"])
        if row["id"] in self.tasks or (row["key_held"] and key in self.keys):
            return False
        self.witness.task_changes("insert", {}, row)
        self.tasks[row["id"]] = self.live[row["id"]] = row
        if row["key_held"]:
            self.keys[key] = row["id"]
        return True

    def change(self, statement: str, row: Row, **changes: Any) -> None:
        self.witness.task_changes(statement, row, changes)
        if row["key_held"] and changes.get("key_held") is False:
            del self.keys[row["tenant"], row["idempotency_key"]]
        row.update(changes)
        if RANK[row["status"]] < FINAL:
            self.live[row["id"]] = row
        else:
            self.live.pop(row["id"], None)

    def delete(self, row: Row) -> None:
        self.change("delete", row, key_held=False)
        del self.tasks[row["id"]]
        self.live.pop(row["id"], None)

    def these(self, ids: Iterable[str]) -> list[Row]:
        """Those of the tasks that there are, in the order of their ids."""
        return [self.tasks[task_id] for task_id in sorted(set(ids)) if task_id in self.tasks]

    def waiting_or_running(self) -> list[Row]:
        """Every task that the queue should hold, in the order of the ids."""
        held = (row for row in self.live.values() if RANK[row["status"]] < WAITING)
        return sorted(held, key=lambda row: row["id"])

    def end_run(self, run: Row) -> None:
        """Insert a run, or end the one on record that is running still."""
        place = (run["task_id"], run["fence"])
        before = self.runs.get(place)
        if before is None or before["status"] == "running":
            self.write_run(before, run)

    def write_run(self, before: Row | None, run: Row) -> None:
        """Insert a run, or write its end."""
        ended = {name: run[name] for name in ("status", "finished_at", "error", "becomes", "ended_by")}
        after = run if before is None else before | ended
        self.witness.run_changes(before, after)
        self.runs[run["task_id"], run["fence"]] = after


def shown(row: Row) -> Row:
    """The columns that a task is read from."""
    return {name: row[name] for name in READ}


def unnested(sql: str) -> list[str]:
    """The names of the columns that a statement unnests, in order."""
    names = _UNNESTED.search(sql, sql.index("unnest("))
    if names is None:
        raise ValueError(f"no columns in: {sql}")
    return [name.strip() for name in names[1].split(",")]


def rows_of(sql: str, columns: Sequence[Any]) -> Iterator[Row]:
    """The rows of a statement's columns; an empty one is of nulls, as `unnest` has it, one value may stand for all."""
    names = [name for name in unnested(sql) if name != "place"]
    size = max((len(column) for column in columns), default=0)
    filled = [column * size if len(column) == 1 else column or [None] * size for column in columns]
    for values in zip(*filled, strict=True):
        yield dict(zip(names, values, strict=True))


def moment(unix_us: int | None) -> datetime | None:
    return None if unix_us is None else _EPOCH + timedelta(microseconds=unix_us)


def micros(at: datetime | None) -> int | None:
    return None if at is None else round((at - _EPOCH).total_seconds() * 1_000_000)
