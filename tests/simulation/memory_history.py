"""The memory ledger: what attempts leave beside their endings, events and steps, by the rules of the SQL files."""

from collections.abc import Callable
from typing import Any

from tests.simulation.memory_attempts import Fencing
from tests.simulation.memory_rows import Row, Tables, rows_of


def tell(tables: Tables, sql: str, *columns: Any) -> list[int]:
    accepted = []
    for place, asked in enumerate(rows_of(sql, columns), 1):
        if Fencing.admits(tables.tasks.get(asked["id"]), asked["fence"]):
            tables.witness.attempt_writes("tell", asked["id"], asked["fence"])
            tables.events.setdefault((asked["id"], asked["fence"], asked["number"]), asked)
            accepted.append(place)
    return accepted


def late_events(tables: Tables, sql: str, *columns: Any) -> int:
    for asked in rows_of(sql, columns):
        if asked["id"] in tables.tasks:
            tables.events.setdefault((asked["id"], asked["fence"], asked["number"]), asked)
    return 0


def save_step(tables: Tables, sql: str, task_id: str, fence: int, name: str, result: str) -> bool | None:
    row = tables.tasks.get(task_id)
    if row is None or not Fencing.admits(row, fence):
        return None
    kept = tables.steps.get((task_id, name))
    if kept is not None and kept["fence"] > fence:
        return None
    tables.witness.attempt_writes("save_step", task_id, fence)
    tables.steps[task_id, name] = {"name": name, "fence": fence, "result": result}
    return True


def save_steps(tables: Tables, sql: str, *columns: Any) -> list[int]:
    places = []
    chosen: dict[tuple[str, str], Row] = {}
    for place, asked in enumerate(rows_of(sql, columns), 1):
        kept = tables.steps.get((asked["id"], asked["name"]))
        newer = kept is not None and kept["fence"] > asked["fence"]
        if newer or not Fencing.admits(tables.tasks.get(asked["id"]), asked["fence"]):
            continue
        places.append(place)
        best = chosen.get((asked["id"], asked["name"]))
        if best is None or best["fence"] < asked["fence"]:
            chosen[asked["id"], asked["name"]] = asked
    for (task_id, name), asked in chosen.items():
        kept = tables.steps.get((task_id, name))
        if kept is None or kept["fence"] < asked["fence"]:
            tables.witness.attempt_writes("save_step", task_id, asked["fence"])
            tables.steps[task_id, name] = {"name": name, "fence": asked["fence"], "result": asked["result"]}
    return places


def steps(tables: Tables, sql: str, task_id: str) -> list[Row]:
    return [
        {
            "name": step["name"], "kind": "step", "result": step["result"], "child_id": None, "wake_at": None,
            "child_status": None, "child_result": None, "child_error": None,
        }
        for (owner, _), step in tables.steps.items() if owner == task_id
    ]  # fmt: skip


def list_steps(tables: Tables, sql: str, tenant: str, task_id: str) -> list[Row]:
    """Steps alone: nobody calls, nobody sleeps."""
    if task_id not in tables.tasks or tables.tasks[task_id]["tenant"] != tenant:
        return []
    return [
        {
            "name": step["name"], "kind": "step", "status": "finished", "answer": step["result"], "error": None,
            "child_id": None, "wake_at": None, "fence": step["fence"], "at": tables.now(),
        }
        for (owner, _), step in tables.steps.items() if owner == task_id
    ]  # fmt: skip


def repeated(tables: Tables, sql: str, *columns: Any) -> list[int]:
    """Which of these writes were accepted earlier."""
    places = []
    for place, asked in enumerate(rows_of(sql, columns), 1):
        task_id, fence = asked["id"], asked["fence"]
        step = tables.steps.get((task_id, asked["name"]))
        known = {
            "start": (task_id, fence) in tables.runs,
            "tell": (task_id, fence, asked["number"]) in tables.events,
            "step": step is not None and step["fence"] == fence,
            "settle": any(
                run["task_id"] == task_id and run["becomes"] is not None and (run["ended_by"] or run["fence"]) == fence
                for run in tables.runs.values()
            ),
        }
        if known.get(asked["kind"]):
            places.append(place)
    return places


STATEMENTS: dict[str, tuple[Callable[..., Any], ...]] = {
    "attempts": (save_step, steps),
    "history": (tell,),
    "reading": (list_steps,),
    "relaying": (late_events, save_steps, repeated),
}
