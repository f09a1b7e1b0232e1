"""Child tasks as a handler sees them: what it calls, and how a child that did not succeed reaches it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One child task of `Context.call_all`. None leaves a choice to the child's handler and the system."""

    type: str
    payload: Any
    name: str | None = None
    """Its identity inside the parent; by default its type and its number."""
    priority: int | None = None
    queue: str | None = None
    max_retries: int | None = None
    timeout_seconds: float | None = None


class ChildFailed(Exception):
    """A child task ended without a result; left alone, it ends the parent for good.

    The child used up its own retries, so another attempt of the parent could only meet the same end.
    """

    def __init__(self, task_id: str, type: str, status: str, error: dict[str, Any] | None) -> None:  # noqa: A002
        self.task_id = task_id
        self.type = type
        self.status = status
        """`failed`, `cancelled` or `expired`."""
        self.error = error
        """The child's own error: type, message, retryable, fingerprint."""
        reason = f": {error.get('type')}: {error.get('message')}" if error else ""
        super().__init__(f"the child task {task_id} ({type}) {status}{reason}")
