"""The memory ledger: how attempts begin and end, by the rules of `attempts.sql` and, for late ones, `relaying.sql`."""

from collections.abc import Callable
from typing import Any

from tests.simulation.memory_rows import FINAL, RANK, Row, Tables, micros, moment, rows_of, unnested


class Fencing:
    """The one rule of every write of an attempt; a mutation switches it off."""

    @staticmethod
    def admits(row: Row | None, fence: int) -> bool:
        return row is not None and RANK[row["status"]] < FINAL and row["fence"] <= fence


def start(tables: Tables, sql: str, *columns: Any) -> list[int]:
    accepted = []
    for place, asked in enumerate(rows_of(sql, columns), 1):
        row = tables.tasks.get(asked["id"])
        if row is None or not Fencing.admits(row, asked["fence"]):
            continue
        if row["fence"] == asked["fence"] and row["status"] != "running":
            continue
        tables.witness.attempt_writes("start", asked["id"], asked["fence"])
        was, before = row["status"], row["fence"]
        began_at = moment(asked["started_us"])
        tables.change(
            "start", row, status="running", fence=asked["fence"], attempt=asked["attempt"],
            worker_id=asked["worker"], started_at=began_at,
        )  # fmt: skip
        tables.end_run(_run(asked, row, asked["fence"], "running", began_at, None))
        if was == "running" and before < asked["fence"]:
            tables.end_run(_run(asked, row, before, "crashed", began_at, tables.now()))
        accepted.append(place)
    return accepted


def settle(tables: Tables, sql: str, *arguments: Any) -> list[int]:
    size = len(unnested(sql)) - 1
    late = len(arguments) > size and arguments[size]
    accepted = []
    done: set[str] = set()
    for place, asked in enumerate(rows_of(sql, arguments[:size]), 1):
        row = tables.tasks.get(asked["id"])
        if row is None or asked["id"] in done or not Fencing.admits(row, asked["fence"]):
            continue
        crashed = asked["ending"] == "crashed"
        if row["status"] != "running" and row["fence"] >= (asked["run"] if crashed else asked["fence"]):
            continue
        tables.witness.attempt_writes("settle", asked["id"], asked["fence"])
        _end(tables, row, asked, late)
        done.add(asked["id"])  # one statement changes a row once
        accepted.append(place)
    return accepted


def _end(tables: Tables, row: Row, asked: Row, late: bool) -> None:
    was, before, now = row["status"], row["fence"], tables.now()
    becomes, final = asked["state"], RANK[asked["state"]] >= FINAL
    on_record = asked["ending"] == "crashed" and was == "running"
    began_at, ended_at = moment(asked["started_us"]), moment(asked["ended_us"]) or now
    run_at = row["run_at"]
    if asked["delay_us"] is not None:
        run_at = moment((micros(ended_at if late else now) or 0) + asked["delay_us"])
    worker = (row["worker_id"] if on_record else asked["worker"]) if becomes in ("succeeded", "failed") else None
    tables.change(
        "settle", row, status=becomes, fence=asked["fence"], attempt=asked["attempt"], crashes=asked["crashes"],
        result=asked["result"], progress=asked["progress"],
        error=None if becomes == "succeeded" else asked["error"] or row["error"], run_at=run_at,
        started_at=row["started_at"] if on_record else began_at or row["started_at"],
        finished_at=ended_at if final else None, worker_id=worker,
        key_held=row["key_held"] and not (row["key_until_final"] and final),
    )  # fmt: skip
    if asked["ending"] is None:
        return
    run_fence = before if on_record else asked["run"]
    run = _run(asked, row, run_fence, asked["ending"], began_at, ended_at)
    run |= {"attempt": asked["run_attempt"], "error": asked["error"], "becomes": becomes}
    run["ended_by"] = asked["fence"] if asked["fence"] != run_fence else None
    tables.end_run(run)
    if was == "running" and before != run_fence:
        older = _run(asked, row, before, "crashed", ended_at, ended_at)
        tables.end_run(older | {"attempt": asked["run_attempt"]})


def _run(asked: Row, row: Row, fence: int, status: str, began_at: Any, finished_at: Any) -> Row:
    return {
        "task_id": asked["id"], "fence": fence, "tenant": row["tenant"], "attempt": asked["attempt"], "status": status,
        "worker_id": asked["worker"], "started_at": began_at, "finished_at": finished_at, "error": None,
        "becomes": None, "ended_by": None,
    }  # fmt: skip


def settled(tables: Tables, sql: str, *columns: Any) -> list[int]:
    places = []
    for place, asked in enumerate(rows_of(sql, columns), 1):
        row = tables.tasks.get(asked["id"])
        if row is None or row["fence"] != asked["fence"]:
            continue
        if row["status"] == asked["state"] or (row["status"], asked["state"]) == ("queued", "retrying"):
            places.append(place)
    return places


def on_record(tables: Tables, sql: str, *columns: Any) -> list[int]:
    places = []
    for place, asked in enumerate(rows_of(sql, columns), 1):
        row = tables.tasks.get(asked["id"])
        if row is not None and row["fence"] == asked["fence"] and row["status"] == "running":
            places.append(place)
    return places


def late_runs(tables: Tables, sql: str, *columns: Any) -> int:
    """Runs that come behind a newer attempt's write; what was guessed of them gives way to what was seen."""
    written = 0
    for asked in rows_of(sql, columns):
        row = tables.tasks.get(asked["id"])
        before = tables.runs.get((asked["id"], asked["run"]))
        if row is None or asked["ending"] not in ("failed", "released", "crashed") or asked["fence"] >= row["fence"]:
            continue
        if before is not None and before["becomes"] is not None:
            continue
        began_at, ended_at = moment(asked["started_us"]), moment(asked["ended_us"])
        run = _run(asked | {"attempt": asked["run_attempt"]}, row, asked["run"], asked["ending"], began_at, ended_at)
        run |= {"error": asked["error"], "becomes": asked["state"]}
        run["ended_by"] = asked["fence"] if asked["fence"] != asked["run"] else None
        tables.write_run(before, run)
        written += 1
    return written


STATEMENTS: dict[str, tuple[Callable[..., Any], ...]] = {
    "attempts": (start, settle, settled, on_record),
    "relaying": (late_runs,),
}
