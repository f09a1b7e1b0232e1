"""Steps: what a task has finished or begun for good, so that an attempt which comes by again finds it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from orchestrator.domain.ids import TaskId
from orchestrator.domain.states import FINAL, State


class StepKind(StrEnum):
    """What the name stands for."""

    STEP = "step"  # a function that has returned
    CALL = "call"  # a child task; its end is the result
    SLEEP = "sleep"  # a moment to wait for


@dataclass(frozen=True, slots=True)
class Child:
    """The child task of a call, as it stands."""

    status: State
    result: bytes | None = None
    """JSON, once it has succeeded."""
    error: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class Step:
    """One name, and what is kept under it."""

    name: str
    result: bytes | None = None
    """JSON, of a finished step, or a sleep that is over."""
    kind: StepKind = StepKind.STEP
    child_id: TaskId | None = None
    wake_at: datetime | None = None
    child: Child | None = None
    """None for a child that nobody has stored yet."""
    seconds: float | None = None
    """Of a sleep that begins: how long; whoever keeps it sets `wake_at` by the clock that will wake it."""


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as it is listed."""

    name: str
    kind: StepKind
    status: Literal["finished", "failed", "waiting"]
    result: Any
    error: dict[str, Any] | None
    """Of a child that failed."""
    child_id: TaskId | None
    wake_at: datetime | None
    fence: int
    at: datetime
    """When its result was kept; for a call or a sleep, when it was begun."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a parked task waits for: it goes on when any of these has come."""

    children: tuple[TaskId, ...] = ()
    every_child: bool = False
    """The end of all of them; otherwise of any."""
    wake_at: datetime | None = None
    lock: str | None = None
    money: bool = False
    """Until `wake_at`, when there is new money, or until a limit is changed."""
