"""What a caller sent does not fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.errors.base import AureaError


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with an input: where (a JSON pointer) and what to do about it."""

    pointer: str
    detail: str


class InvalidInput(AureaError):
    code = "invalid_input"

    def __init__(self, detail: str, issues: Sequence[Issue] = ()) -> None:
        super().__init__(detail)
        self.issues = tuple(issues)


class NotJson(InvalidInput):
    code = "not_json"


class InvalidId(InvalidInput):
    code = "invalid_id"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:64]!r} is not a UUID",
            [Issue("/id", "send the id as the system gave it, 36 characters long")],
        )


class InvalidCursor(InvalidInput):
    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__(
            "the cursor is not one of ours: send the next_cursor of the page before, unchanged",
            [Issue("/cursor", "send the next_cursor of the page before, or leave it out")],
        )


class UnknownType(InvalidInput):
    code = "unknown_type"

    def __init__(self, type_name: str, known: Sequence[str], pointer: str = "/type") -> None:
        self.known = tuple(known)
        listed = ", ".join(self.known) or "none"
        super().__init__(
            f"no handler is called {type_name[:100]!r}; the known types are: {listed}",
            [Issue(pointer, f"use one of: {listed}")],
        )


class KeyConflict(InvalidInput):
    code = "key_conflict"

    def __init__(self, key: str, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(
            f"the idempotency key {key!r} was used by task {task_id} with another body",
            [Issue("/idempotency_key", "use a new key for new work, or send the same body again")],
        )
