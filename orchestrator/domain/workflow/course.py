"""One run of a workflow: which steps may begin, what their children are, what each came to.

The rules are those of jobs in GitHub Actions, with one difference that its users ask for: only a step's own needs
decide about it, not what came before them.

- A step begins when all its needs have ended. It is skipped when one of them was skipped, or failed without
  `continue_on_error`; with `always` it is not. It is skipped when its condition does not hold.
- A failed step ends the steps behind it and nothing else. The workflow has failed when a step without
  `continue_on_error` has.

A run starts over with every attempt, and comes by the same children again: each has a name that depends on nothing but
the workflow, its inputs and how earlier children ended. What comes behind a failure carries the failed children in its
name, so after a retry, which replaces those, it is done anew (a clean-up too).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

from orchestrator.domain.conditions import BadCondition
from orchestrator.domain.templates import BadTemplate
from orchestrator.domain.workflow.effort import Effort
from orchestrator.domain.workflow.planning import Child, Expressions
from orchestrator.domain.workflow.workflow import Step, Workflow

_SHOWN = 5


class Status(StrEnum):
    """How a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child came to: its result, or why there is none."""

    output: Any = None
    error: dict[str, Any] | None = None
    child_id: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a step came to."""

    status: Status
    output: Any = None
    error: dict[str, Any] | None = None
    failures: frozenset[str] = frozenset()
    """Which children failed here or in what came before."""

    def view(self) -> dict[str, Any]:
        """Return what expressions see of it."""
        return {"status": self.status.value, "output": self.output, "error": self.error}


@dataclass(frozen=True, slots=True)
class Begun:
    """A step under way. Its children stand in the order of the items; None stands for an item that is left out."""

    step: Step
    children: tuple[Child | None, ...]


@dataclass(slots=True)
class Course:
    """How far one run is. Call `begin` until it gives nothing and nothing is under way; hand each end to `end`."""

    workflow: Workflow
    inputs: dict[str, Any]
    task_id: str
    ended: dict[str, Ended] = field(default_factory=dict)
    _under_way: dict[str, Begun] = field(default_factory=dict)

    def begin(self) -> list[Begun]:
        """Return the steps that may begin now, and end those that need no child."""
        begun: list[Begun] = []
        going_on = True
        while going_on:
            going_on = False
            for step in self.workflow.steps:
                if step.id in self.ended or step.id in self._under_way or not self._is_ready(step):
                    continue
                started = self._start(step)
                if isinstance(started, Ended):
                    self.ended[step.id] = started
                    going_on = True
                else:
                    self._under_way[step.id] = started
                    begun.append(started)
        return begun

    def end(self, begun: Begun, answers: Iterable[Answer]) -> None:
        """Take the answers of a step's children, in their order; none for items that were left out."""
        del self._under_way[begun.step.id]
        self.ended[begun.step.id] = self._summed_up(begun, answers)

    @property
    def failed(self) -> list[tuple[Step, Ended]]:
        """The steps for which the workflow fails."""
        ends = [(step, self.ended[step.id]) for step in self.workflow.steps if step.id in self.ended]
        return [(step, end) for step, end in ends if end.status is Status.FAILED and not step.continue_on_error]

    @property
    def fraction(self) -> float:
        return len(self.ended) / len(self.workflow.steps)

    @property
    def standing(self) -> str:
        """Say in a line how far it is."""
        running = [begun.step.name for begun in self._under_way.values()]
        shown = ", ".join(running[:_SHOWN]) + (", ..." if len(running) > _SHOWN else "")
        return f"{len(self.ended)} of {len(self.workflow.steps)} steps" + (f"; running: {shown}" if shown else "")

    @property
    def statuses(self) -> dict[str, str]:
        """How each step ended, in the order in which they are written."""
        return {step.id: self.ended[step.id].status.value for step in self.workflow.steps if step.id in self.ended}

    def outputs(self) -> Any:
        """Return the workflow's outputs. Raises BadTemplate."""
        values = self._values(self.ended)
        Effort(values).spend(self.workflow.outputs.looks)
        return self.workflow.outputs.render(values)

    def _is_ready(self, step: Step) -> bool:
        return all(need in self.ended for need in step.needs)

    def _start(self, step: Step) -> Begun | Ended:
        before = frozenset[str]().union(*(self.ended[need].failures for need in step.needs))
        skipped = Ended(Status.SKIPPED, failures=before)
        if not step.always and any(self._holds_up(need) for need in step.needs):
            return skipped
        expressions = Expressions(step, self._values(self.workflow.ancestors[step.id]))
        try:
            if not expressions.hold():
                return skipped
            children = expressions.children(_mark(before))
        except (BadTemplate, BadCondition) as error:
            reason = {"type": type(error).__name__, "message": str(error)}
            return Ended(Status.FAILED, error=reason, failures=before | {step.id})
        if not any(children):
            return Ended(Status.SUCCEEDED, output=[None] * len(children), failures=before)
        return Begun(step, tuple(children))

    def _holds_up(self, need: str) -> bool:
        """Whether what needs this is skipped."""
        step = next(step for step in self.workflow.steps if step.id == need)
        status = self.ended[need].status
        return status is Status.SKIPPED or (status is Status.FAILED and not step.continue_on_error)

    def _values(self, seen: Collection[str]) -> dict[str, Any]:
        views = {step.id: self.ended[step.id].view() for step in self.workflow.steps if step.id in seen}
        return {"inputs": self.inputs, "steps": views, "task": {"id": self.task_id}}

    def _summed_up(self, begun: Begun, answers: Iterable[Answer]) -> Ended:
        given = iter(answers)
        sorted_in: Sequence[Answer | None] = [next(given) if child else None for child in begun.children]
        failed = [(place, answer) for place, answer in enumerate(sorted_in) if answer and answer.error is not None]
        failures = frozenset[str]().union(
            *(self.ended[need].failures for need in begun.step.needs),
            (answer.child_id or begun.step.id for _, answer in failed),
        )
        outputs = [answer.output if answer else None for answer in sorted_in]
        error = None
        if failed:
            place, first = failed[0]
            error = (first.error or {}) | ({"index": place, "failed": len(failed)} if begun.step.for_each else {})
        return Ended(
            Status.FAILED if failed else Status.SUCCEEDED,
            outputs if begun.step.for_each else outputs[0],
            error,
            failures,
        )


def _mark(failures: frozenset[str]) -> str:
    """Return what tells a child behind these failures from one behind others; nothing behind none."""
    return f" @{sha256(' '.join(sorted(failures)).encode()).hexdigest()[:8]}" if failures else ""
