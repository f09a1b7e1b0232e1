"""Which processes could know that an idempotency key is held.

Two processes that have no store in common cannot agree on a key: one does without Postgres and asks a queue that never
heard of the key, the other does without Redis. Both tasks are kept then, and that is reported. In every other case
one key is one task.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domain.ids import TaskId
from orchestrator.domain.outbox import KeyHold
from tests.simulation.memory_rows import Row


class KeyWitness:
    def __init__(self) -> None:
        self._heard: dict[str, TaskId] = {}
        """The keys that this queue has heard of, each with the task it heard of first."""
        self._blindly: set[TaskId] = set()
        """Tasks that were kept in one store while the other one did not answer for the key."""

    def forget_queue(self) -> None:
        self._heard.clear()

    def inserted(self, row: Row) -> None:
        """Postgres has the task. Whoever asked for it may never hear what the queue says of its key."""
        if row["key_held"]:
            self._blindly.add(row["id"])

    def queue_answered(self, name: str, arguments: Sequence[Any], answer: Any) -> None:
        if name == "enqueue" and len(arguments) > 1:
            self._hear(arguments[1])
        elif name == "reserve":
            self._hear(arguments[0])
        elif name == "accept":
            for wanted, kept in zip(arguments[0], answer[0], strict=True):
                if kept is True and wanted.key is not None:
                    self._hear({wanted.entry.id: wanted.key})
                    if self._heard[wanted.key.name] == wanted.entry.id:  # a queue that was emptied answers for nobody
                        self._blindly.add(wanted.entry.id)

    def _hear(self, holds: Mapping[TaskId, KeyHold]) -> None:
        for task_id, hold in holds.items():
            self._heard.setdefault(hold.name, task_id)

    def answer_heard(self, name: str, arguments: Sequence[Any]) -> None:
        """The process that asked has the queue's answer."""
        if name == "enqueue" and len(arguments) > 1:
            self._blindly -= set(arguments[1])

    def excuses(self, one: TaskId, other: TaskId) -> bool:
        """Whether these two could both be accepted under one key."""
        return bool({one, other} & self._blindly)
