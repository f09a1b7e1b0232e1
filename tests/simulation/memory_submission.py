"""The memory ledger: how tasks come in, by the rules of `submission.sql`, and how one is taken back."""

from collections.abc import Callable
from typing import Any

import orjson

from tests.simulation.memory_rows import FINAL, RANK, RUNNING, TASK, Row, Tables, rows_of


def insert(tables: Tables, sql: str, *arguments: Any) -> int:
    *columns, aside = arguments
    stored = 0
    for asked in rows_of(sql, tuple(columns)):
        given = {name: value for name, value in asked.items() if value is not None}
        row = TASK | given | {
            "status": "queued" if asked["run_at"] is None else "scheduled",
            "key_held": asked["idempotency_key"] is not None and not aside,
            "delayed": asked["run_at"] is not None,
        }  # fmt: skip
        stored += tables.insert(row)
    return stored


def holders(tables: Tables, sql: str, tenant: str, ids: list[str], keys: list[str | None]) -> list[Row]:
    found = []
    for task_id, key in zip(ids, keys, strict=True):
        holder = tables.keys.get((tenant, key))
        row = tables.tasks[holder] if holder is not None else None
        expires_at = None if row is None else row["key_expires_at"]
        found.append(
            {
                "stored": task_id in tables.tasks,
                "id": holder,
                "fingerprint": None if row is None else row["fingerprint"],
                "expired": expires_at is not None and expires_at <= tables.now(),
            }
        )
    return found


def release(tables: Tables, sql: str, tenant: str, ids: list[str]) -> int:
    released = 0
    for row in tables.these(ids):
        if (
            row["tenant"] == tenant
            and row["key_held"]
            and row["key_expires_at"] is not None
            and row["key_expires_at"] <= tables.now()
        ):
            tables.change("release", row, key_held=False)
            released += 1
    return released


def superseded_by(holder_id: str | None) -> str:
    message = f"the same was accepted as task {holder_id or ''} while Postgres was away"
    error = {"type": "superseded", "message": message, "retryable": False, "fingerprint": "superseded"}
    return orjson.dumps(error).decode()


def withdraw(tables: Tables, sql: str, ids: list[str], holding: list[str | None]) -> int:
    """End rows that never began; their keys go to the holders that answered for them."""
    changed = 0
    for task_id, holder_id in zip(ids, holding, strict=True):
        row, holder = tables.tasks.get(task_id), tables.tasks.get(holder_id or "")
        if row is None or row["attempt"] or row["fence"] or RANK[row["status"]] >= RUNNING:
            continue
        held = row["key_held"]
        tables.change(
            "withdraw", row, status="cancelled", key_held=False, finished_at=tables.now(),
            error=superseded_by(holder_id),
        )  # fmt: skip
        same = ("tenant", "idempotency_key", "fingerprint")
        if holder is None or not held or any(holder[name] != row[name] for name in same):
            continue
        if not (holder["key_until_final"] and RANK[holder["status"]] >= FINAL):
            tables.keys[holder["tenant"], holder["idempotency_key"]] = holder_id
            tables.change("withdraw", holder, key_held=True)
            changed += 1
    return changed


STATEMENTS: dict[str, tuple[Callable[..., Any], ...]] = {
    "submission": (insert, holders, release),
    "relaying": (withdraw,),
}
