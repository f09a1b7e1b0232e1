"""The memory ledger: what is read, and what the chores ask, by the rules of `reading.sql` and `upkeep.sql`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.simulation.memory_rows import FINAL, RANK, Row, Tables, micros, shown


def read(tables: Tables, sql: str, tenant: str, task_id: str) -> Row | None:
    row = tables.tasks.get(task_id)
    return None if row is None or row["tenant"] != tenant else shown(row)


def live_ids(tables: Tables, sql: str, after: str, limit: int) -> list[Row]:
    return [{"id": row["id"]} for row in tables.waiting_or_running() if row["id"] > after][:limit]


def fresh_ids(tables: Tables, sql: str, first: str, until: str) -> list[Row]:
    return [{"id": row["id"]} for row in tables.waiting_or_running() if first <= row["id"] < until]


def entries_of(tables: Tables, sql: str, ids: list[str]) -> list[Row]:
    wanted = set(ids)
    names = ("id", "tenant", "type", "queue", "priority", "payload", "max_retries", "timeout_seconds", "traceparent",
             "attempt", "crashes")  # fmt: skip
    return [
        {name: row[name] for name in names}
        | {
            "ready_at_us": micros(_ready_at(tables, row)),
            "expires_at_us": micros(row["expires_at"] if row["started_at"] is None else None),
            "retrying": row["status"] == "retrying",
            "called": row["called"],
        }
        for row in tables.waiting_or_running()
        if row["id"] in wanted
    ]


def _ready_at(tables: Tables, row: Row) -> datetime:
    due: datetime = row["run_at"] or row["created_at"]
    return min(due, tables.now()) if row["status"] == "queued" else due


def ended_of(tables: Tables, sql: str, ids: list[str]) -> list[Row]:
    return [{"id": row["id"]} for row in tables.these(ids) if RANK[row["status"]] >= FINAL]


def known(tables: Tables, sql: str, ids: list[str]) -> list[Row]:
    return [{"id": row["id"]} for row in tables.these(ids)]


def next_epoch(tables: Tables, sql: str) -> int:
    tables.epoch += 1
    return tables.epoch


def last_epoch(tables: Tables, sql: str) -> int:
    return tables.epoch


def pause(tables: Tables, sql: str, queue: str, paused: bool) -> int:
    (tables.paused.add if paused else tables.paused.discard)(queue)
    return 1


def paused_queues(tables: Tables, sql: str) -> list[Row]:
    return [{"name": name} for name in sorted(tables.paused)]


def profiles_since(tables: Tables, sql: str, moment: datetime) -> list[Row]:
    return []


def ping(tables: Tables, sql: str) -> int:
    return 1


STATEMENTS: dict[str, tuple[Callable[..., Any], ...]] = {
    "reading": (read,),
    "profiles": (profiles_since,),
    "upkeep": (live_ids, fresh_ids, entries_of, ended_of, known, next_epoch, last_epoch, pause, paused_queues, ping),
}
