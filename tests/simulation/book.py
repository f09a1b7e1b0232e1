"""What the clients of a simulated system were promised, kept outside of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.domain.ids import Fence, TaskId
from tests.simulation.memory_rows import FINAL, RANK, Tables
from tests.simulation.witness import Witness


@dataclass
class Book:
    tables: Tables
    witness: Witness
    ended_in_outbox: Callable[[TaskId], bool]
    accepted: dict[TaskId, str | None] = field(default_factory=dict)
    """Tasks that a client was told are kept, and the key it asked with."""
    cancelled: dict[TaskId, Fence] = field(default_factory=dict)
    """Tasks that a client was told are cancelled, and under which fence."""
    holders: dict[str, TaskId] = field(default_factory=dict)
    twice: list[tuple[str, TaskId, TaskId]] = field(default_factory=list)
    """Keys that were answered with two tasks, and which."""
    asked: int = 0
    unknown: int = 0
    """Requests that nobody answered, or with Unavailable."""
    refused: int = 0

    def note_accepted(self, task_id: TaskId, key: str | None) -> None:
        self.accepted[task_id] = key
        if key is None:
            return
        holder = self.holders.setdefault(key, task_id)
        if holder == task_id:
            return
        if key.startswith("once") and (self._has_ended(holder) or self._has_ended(task_id)):
            self.holders[key] = max(holder, task_id)
        elif not key.startswith("timed"):
            self.twice.append((key, holder, task_id))

    def _has_ended(self, task_id: TaskId) -> bool:
        row = self.tables.tasks.get(task_id)
        if row is not None and (RANK[row["status"]] >= FINAL or task_id in self.witness.opened):
            return True
        return self.ended_in_outbox(task_id)

    def note_cancelled(self, task_id: TaskId, fence: Fence) -> None:
        self.cancelled[task_id] = max(fence, self.cancelled.get(task_id, fence))
