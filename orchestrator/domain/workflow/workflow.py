"""Workflows: steps that use task types, in the order that their needs give.

This is what `parsing` makes of a written one: checked as a whole, its templates and conditions compiled.
`course` follows one of its runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.domain.conditions import Condition
from orchestrator.domain.workflow.expressions import Form
from orchestrator.domain.workflow.inputs import Input

WORKFLOW_TYPE = "aurea_action"
"""The task type that runs a workflow; a step that uses it has its workflow written out in `with`."""

MAX_STEPS = 100
MAX_ITEMS = 1_000
"""Of one `for_each`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. Its children are tasks of the type `uses`: one, or with `for_each` one for each item."""

    pointer: str
    """Where in the workflow it stands, as a JSON pointer."""
    id: str
    name: str
    """For people; the id when none was given."""
    uses: str
    written: Any
    """What is written as `with`."""
    payload: Form
    """The same, its templates compiled."""
    condition: Condition | None
    """What is written as `if`."""
    needs: tuple[str, ...]
    for_each: Form | None
    retry: int | None
    """Retries of each child after its first attempt; None, here and below: as its handler has it."""
    timeout_seconds: float | None
    """The most that one attempt of a child may take."""
    continue_on_error: bool
    always: bool

    @property
    def asks_each_item(self) -> bool:
        """Whether the condition is about an item, and so is asked once for each."""
        reads = self.condition.reads if self.condition and self.for_each else ()
        return any(path[0] in ("item", "index") for path in reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A workflow. One in which faults were found is good for finding more, and for nothing else."""

    name: str
    description: str
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    """In the order in which they are written."""
    outputs: Form
    ancestors: Mapping[str, frozenset[str]] = field(repr=False)
    """By step: what has ended before it begins, its needs and theirs. It sees these and no others."""
