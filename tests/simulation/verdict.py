"""What must be true of a simulated system once it has healed and drained."""

import orjson

from tests.simulation.book import Book
from tests.simulation.memory_rows import FINAL, RANK
from tests.simulation.system import System


def unfinished(system: System) -> list[str]:
    """What keeps the system from being quiet: tasks that are not final, and what the queue holds still."""
    queue = system.redis.queue
    left = [f"{task_id} is {row['status']}" for task_id, row in system.postgres.tables.live.items()]
    left += [f"the queue knows {task_id}, {record.status.value}" for task_id, record in queue._records.items()]
    for what, places in (("waits in", queue._queue), ("is pending in", queue._pending)):
        left += [f"{task_id} {what} {name}" for name, ids in places.items() for task_id in ids]
    left += [f"a {each.kind.value} of {each.task_id} is in the outbox" for each in queue._outbox.values()]
    left += [f"{task_id} is put aside" for task_id in queue._scheduled]
    left += [f"{task_id} is leased" for task_id in queue._leases.deadlines]
    return left


def judge(system: System, book: Book) -> None:
    """Blame whatever is not as it was promised."""
    witness, tables = system.witness, system.postgres.tables
    for reason in unfinished(system):
        witness.blame("everything ends", reason)
    for task_id, key in book.accepted.items():
        row = tables.tasks.get(task_id)
        if row is None:
            witness.blame("nothing is lost", f"{task_id} was accepted{f' under {key}' if key else ''} and is nowhere")
        elif RANK[row["status"]] < FINAL:
            witness.blame("everything ends", f"{task_id} is {row['status']}")
    for task_id, fence in book.cancelled.items():
        row = tables.tasks.get(task_id)
        if row is not None and row["status"] != "cancelled" and witness.opened.get(task_id, 0) <= fence:
            witness.blame("what is cancelled stays", f"{task_id} is {row['status']}")
    for key, one, other in book.twice:
        if not witness.keys.excuses(one, other):
            witness.blame("one key, one task", f"{key} was answered with {one} and with {other}")
    for task_id in tables.tasks:
        _judge_results(system, task_id)


def _judge_results(system: System, task_id: str) -> None:
    """A success has one run that says so, in this life of the task, and its result is that run's."""
    witness, tables = system.witness, system.postgres.tables
    row = tables.tasks[task_id]
    if row["status"] != "succeeded":
        return
    run = tables.runs.get((task_id, row["fence"]))
    if run is None or run["status"] != "succeeded":
        witness.blame("one success", f"{task_id} has succeeded under {row['fence']} without a run")
    if orjson.loads(row["result"])["fence"] != str(row["fence"]):
        witness.blame("one success", f"{task_id} under {row['fence']} has the result {row['result']}")
