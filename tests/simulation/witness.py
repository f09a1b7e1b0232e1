"""What is looked at while a simulation runs: every write of a row, and every start of a handler.

It remembers by itself what has been, and asks neither store what is right. The first thing that must not be ends the
run. `queue_witness` and `key_witness` look at the queue, and at idempotency keys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.task import Claim
from tests.simulation.key_witness import KeyWitness
from tests.simulation.loop import SimulationLoop
from tests.simulation.memory_rows import FINAL, RANK, Row, Tables
from tests.simulation.queue_witness import QueueWitness

_MAY_TOUCH_THE_FINAL = {"delete", "reopen"}
"""Statements: a row is pruned or taken back, or opened again."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: which, and by what."""

    promise: str
    detail: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.detail}"


class Witness:
    """Watches the tables of the ledger."""

    def __init__(
        self, loop: SimulationLoop, tables: Tables, outbox_has: Callable[[TaskId, Fence | None], bool]
    ) -> None:
        """`outbox_has`: whether the insert of a task, or what its attempt under a fence wrote, waits there."""
        self.violations: list[Violation] = []
        self.tables = tables
        self.keys = KeyWitness()
        self.queue = QueueWitness(self.blame, self.has_ended)
        self.opened: dict[str, int] = {}
        """Tasks that were opened again, and the fence of the last time."""
        self.handlers = 0
        self._loop = loop
        self._outbox_has = outbox_has
        self._highest: dict[str, int] = {}
        self._succeeded: dict[str, int] = {}

    def blame(self, promise: str, detail: str) -> None:
        if not self._loop.disposing:
            self.violations.append(Violation(promise, detail))
            self._loop.finish()

    def forget_queue(self) -> None:
        """The queue was emptied, or forgot its last writes."""
        self.queue.forget_queue()
        self.keys.forget_queue()

    def queue_answered(self, name: str, arguments: Sequence[Any], answer: Any) -> None:
        self.queue.queue_answered(name, arguments, answer)
        self.keys.queue_answered(name, arguments, answer)

    def task_changes(self, statement: str, row: Row, changes: Row) -> None:
        if not row:
            self.keys.inserted(changes)
            return
        task_id, fence = row["id"], changes.get("fence", row["fence"])
        if fence < row["fence"]:
            self.blame("a fence never falls", f"{statement} of {task_id}: {row['fence']} -> {fence}")
        if RANK[row["status"]] >= FINAL and statement not in _MAY_TOUCH_THE_FINAL:
            changed = {name for name, value in changes.items() if value != row[name] and name != "key_held"}
            if changed:
                self.blame("what is final stays", f"{statement} of {task_id}, {row['status']}: {sorted(changed)}")
        if statement == "reopen":
            self.opened[task_id] = fence
            self._succeeded.pop(task_id, None)
        self._highest[task_id] = max(fence, self._highest.get(task_id, 0))

    def attempt_writes(self, statement: str, task_id: TaskId, fence: int) -> None:
        newest = self._highest.get(task_id, 0)
        if fence < newest:
            self.blame("no stale write", f"{statement} of {task_id} under {fence} after {newest}")

    def run_changes(self, before: Row | None, after: Row) -> None:
        task_id, fence = after["task_id"], after["fence"]
        if before is not None and before["becomes"] is not None:
            self.blame("a run ends once", f"{task_id} under {fence}: {before['status']} -> {after['status']}")
        if after["status"] == "succeeded":
            other = self._succeeded.setdefault(task_id, fence)
            if other != fence:
                self.blame("one success", f"{task_id} under {other} and under {fence}")

    def has_ended(self, task_id: TaskId, fence: Fence) -> bool:
        """Whether Postgres has an ending of the attempt under this fence, or something newer."""
        row, run = self.tables.tasks.get(task_id), self.tables.runs.get((task_id, fence))
        if row is not None and (row["fence"] > fence or (row["fence"] == fence and row["status"] != "running")):
            return True
        return run is not None and run["status"] != "running"

    def begins(self, claim: Claim) -> None:
        """A handler starts."""
        self.handlers += 1
        task_id = claim.entry.id
        if task_id not in self.tables.tasks and not self._outbox_has(task_id):
            self.blame("only what is kept runs", f"{task_id} runs, and neither Postgres nor the outbox has it")
        attempt = (task_id, claim.fence)
        asked = attempt in self.tables.runs or attempt in self.queue.recorded
        if not claim.settled_epoch and not asked:
            self.blame("what was put back is asked about", f"{task_id} runs under {claim.fence}, and nobody was asked")
