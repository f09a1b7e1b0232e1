"""The memory ledger: moves that no worker makes, by the rules of `moves.sql`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.simulation.memory_rows import FINAL, RANK, RUNNING, Row, Tables, shown


def cancel(tables: Tables, sql: str, tenant: str, task_id: str, fence: int) -> Row | None:
    row = tables.tasks.get(task_id)
    if row is None or row["tenant"] != tenant or row["fence"] > fence or RANK[row["status"]] >= FINAL:
        return None
    was, before, now = row["status"], row["fence"], tables.now()
    held = row["key_held"] and not row["key_until_final"]
    tables.change("cancel", row, status="cancelled", fence=fence, finished_at=now, key_held=held)
    if was == "running":
        tables.end_run(
            {
                "task_id": task_id, "fence": before, "tenant": tenant, "attempt": row["attempt"], "status": "cancelled",
                "worker_id": row["worker_id"], "started_at": row["started_at"], "finished_at": now, "error": None,
                "becomes": None, "ended_by": None,
            }
        )  # fmt: skip
    return shown(row)


def reopen(
    tables: Tables,
    sql: str,
    tenant: str,
    ids: list[str],
    run_ats: list[datetime | None],
    fence: int,
    only_dead: bool,
    from_step: str | None,
    start_over: bool,
) -> list[Row]:
    """Nothing is begun anew from a step, and nobody calls: steps stay."""
    opened, now = [], tables.now()
    due = dict(zip(ids, run_ats, strict=True))
    for row in tables.these(ids):
        dead = row["status"] == "failed" or (RANK[row["status"]] >= FINAL and not only_dead)
        if row["tenant"] != tenant or row["fence"] > fence or not dead:
            continue
        was, before, expires_at = row["status"], row["fence"], row["expires_at"]
        tables.change(
            "reopen", row, status="queued" if due[row["id"]] is None else "scheduled", fence=fence, attempt=0,
            crashes=0, result=None, error=None, progress=None, run_at=due[row["id"]] or now, started_at=None,
            finished_at=None, worker_id=None, expires_at=expires_at if expires_at and expires_at > now else None,
        )  # fmt: skip
        tables.events[row["id"], fence, 0] = {}
        if was in ("cancelled", "expired"):
            tables.events[row["id"], before, 999_997] = {}
        opened.append(shown(row))
    return opened


def expiring(tables: Tables, sql: str, limit: int) -> list[Row]:
    late = [row for row in tables.live.values() if _expires(tables, row)]
    return [{"id": row["id"]} for row in sorted(late, key=lambda row: row["expires_at"])[:limit]]


def expire(tables: Tables, sql: str, fence: int, ids: list[str]) -> list[Row]:
    ended = []
    for row in tables.these(ids):
        if _expires(tables, row) and row["fence"] <= fence:
            held = row["key_held"] and not row["key_until_final"]
            tables.change("expire", row, status="expired", fence=fence, finished_at=tables.now(), key_held=held)
            ended.append(shown(row))
    return ended


def _expires(tables: Tables, row: Row) -> bool:
    late = row["expires_at"] is not None and row["expires_at"] <= tables.now()
    return late and RANK[row["status"]] < RUNNING and row["started_at"] is None


def promote(tables: Tables, sql: str, ids: list[str]) -> int:
    due = [row for row in tables.these(ids) if row["status"] in ("scheduled", "retrying")]
    for row in due:
        tables.change("promote", row, status="queued")
    return len(due)


def called_children(tables: Tables, sql: str, ids: list[str]) -> list[Row]:
    called = (row for row in tables.live.values() if row["called"] and row["parent_id"] in set(ids))
    return [{"id": row["id"]} for row in sorted(called, key=lambda row: row["id"])]


def parents_of(tables: Tables, sql: str, ids: list[str]) -> list[Row]:
    parents = {row["parent_id"] for row in tables.these(ids) if row["called"] and row["parent_id"]}
    return [{"parent_id": parent} for parent in sorted(parents)]


STATEMENTS: dict[str, tuple[Callable[..., Any], ...]] = {
    "moves": (cancel, reopen, expiring, expire, promote),
    "waiting": (called_children, parents_of),
}
