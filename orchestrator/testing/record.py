"""What an attempt under test told, kept and submitted."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson

from orchestrator.clock import Clock
from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import TaskId
from orchestrator.domain.states import State
from orchestrator.domain.steps import Child, Step
from orchestrator.domain.task import Claim
from orchestrator.sdk import Call, ChildFailed
from orchestrator.worker.bench import Submission
from orchestrator.worker.encoding import decode_step, encode_json, encode_step


@dataclass(frozen=True, slots=True)
class Logged:
    text: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    fraction: float
    text: str


Answer = Any
"""Of a child: its result, a function of its payload that gives one, or an exception that it failed with."""


class Killed(BaseException):
    """The attempt under test dies here, as by `kill -9`."""


class Record:
    """A worker's journal, steps and way to submit, in memory; everything in the order in which it happened."""

    def __init__(
        self,
        clock: Clock,
        steps: Mapping[str, Any],
        children: Mapping[str, Answer] | None = None,
        kill_at: int | None = None,
    ) -> None:
        self.submitted: list[Submission] = []
        """The tasks it handed in or called: `type`, `payload`, `key` and the options."""
        self.boundaries = 0
        self.killed = False
        self._clock = clock
        self._children = children or {}
        self._kill_at = kill_at
        self._told: list[tuple[EventKind, dict[str, Any]]] = []
        self._kept = {name: Step(name, encode_step(value, f"the step {name!r}")) for name, value in steps.items()}

    @property
    def logs(self) -> list[Logged]:
        return [Logged(**content) for kind, content in self._told if kind is EventKind.LOG]

    @property
    def progress(self) -> list[Progress]:
        return [Progress(**content) for kind, content in self._told if kind is EventKind.PROGRESS]

    @property
    def tokens(self) -> list[str]:
        return [content["text"] for kind, content in self._told if kind is EventKind.TOKEN]

    @property
    def steps(self) -> dict[str, Any]:
        """The results of the finished steps, those it was given included."""
        return {name: decode_step(step.result) for name, step in self._kept.items() if step.result is not None}

    @contextmanager
    def boundary(self) -> Iterator[None]:
        """Something is kept here: an attempt may die before it and behind it."""
        self._pass()
        yield
        self._pass()

    def _pass(self) -> None:
        if self.killed:  # a handler that lives on in an `except` or `finally` does nothing any more
            raise Killed
        self.boundaries += 1
        if self.boundaries == self._kill_at:
            self.killed = True
            raise Killed

    def revive(self) -> None:
        """The next attempt begins."""
        self.killed = False

    def append(self, told: Told) -> None:
        self._told.append((told.kind, orjson.loads(told.data)))

    async def room(self) -> None:
        return

    async def load(self, claim: Claim) -> Mapping[str, Step]:
        return {name: self._seen(step) for name, step in self._kept.items()}

    def _seen(self, step: Step) -> Step:
        """A sleep that is over has a result."""
        over = step.wake_at is not None and step.wake_at <= self._clock.now()
        return replace(step, result=b"true") if over else step

    async def begin(self, claim: Claim, steps: Sequence[Step]) -> Mapping[str, Step]:
        with self.boundary():
            self._kept = {step.name: step for step in steps} | self._kept
        return {step.name: self._kept[step.name] for step in steps}

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        with self.boundary():
            self._kept[name] = Step(name, result)
        return True

    async def submit(self, claim: Claim, submission: Submission) -> TaskId:
        for name, step in self._kept.items():
            if submission.child_id is not None and step.child_id == submission.child_id:
                self._kept[name] = replace(step, child=self._child(submission))
        self.submitted.append(submission)
        return submission.child_id or self._clock.task_id()

    def call(self, call: Call) -> Any:
        """Return a child's result, or the ChildFailed that stands for it, at once."""
        submission = Submission(call.type, call.payload, child_id=self._clock.task_id())
        self.submitted.append(submission)
        child = self._child(submission)
        if child.status is State.FAILED:
            return ChildFailed(str(submission.child_id), call.type, child.status.value, child.error)
        return orjson.loads(child.result or b"null")

    def _child(self, submission: Submission) -> Child:
        if submission.type not in self._children:
            raise RuntimeError(
                f"the handler calls {submission.type!r}: give the test children={{{submission.type!r}: ...}}"
            )
        answer = self._children[submission.type]
        try:
            if callable(answer):
                answer = answer(submission.payload)
            if isinstance(answer, Exception):
                raise answer
        except Exception as error:  # noqa: BLE001 - the child's
            kind = type(error).__name__
            told = {"type": kind, "message": str(error), "retryable": False, "fingerprint": kind}
            return Child(State.FAILED, None, told)
        return Child(State.SUCCEEDED, encode_json(answer, f"the result of {submission.type!r}"))
