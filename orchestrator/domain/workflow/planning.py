"""What a step's expressions come to when it may begin: whether it runs, and with which children."""

from dataclasses import dataclass
from typing import Any

from orchestrator.domain.conditions import Condition, Facts
from orchestrator.domain.templates import BadTemplate
from orchestrator.domain.workflow.effort import Effort, picked
from orchestrator.domain.workflow.expressions import look_of
from orchestrator.domain.workflow.workflow import MAX_ITEMS, Step


@dataclass(frozen=True, slots=True)
class Child:
    """A child task to run. `name` is its identity inside the workflow's task."""

    name: str
    type: str
    payload: Any
    max_retries: int | None
    timeout_seconds: float | None


class Expressions:
    """The expressions of one step, and the values that they see."""

    def __init__(self, step: Step, values: dict[str, Any]) -> None:
        self._step = step
        self._values = values
        self._effort = Effort(values)

    def hold(self) -> bool:
        """Whether the step's condition holds; one about items is left for `children`. Raises BadCondition."""
        condition = self._step.condition
        return condition is None or self._step.asks_each_item or self._holds(condition, {})

    def children(self, mark: str) -> list[Child | None]:
        """Return the child of each item, None for one that is left out; `mark` ends their names.

        Raises BadTemplate or BadCondition.
        """
        step = self._step
        if step.for_each is None:
            return [self._child(f"{step.id}{mark}", {})]
        self._effort.spend(step.for_each.looks)
        items = step.for_each.render(self._values)
        if not isinstance(items, list) or len(items) > MAX_ITEMS:
            found = f"{len(items)} items" if isinstance(items, list) else type(items).__name__
            raise BadTemplate(f"for_each takes a list of at most {MAX_ITEMS} items, not {found}")
        children: list[Child | None] = []
        for index, item in enumerate(items):
            inside = {"item": item, "index": index}
            wanted = not step.asks_each_item or step.condition is None or self._holds(step.condition, inside)
            children.append(self._child(f"{step.id}[{index}]{mark}", inside) if wanted else None)
        return children

    def _holds(self, condition: Condition, inside: dict[str, Any]) -> bool:
        self._effort.spend([look_of(condition)], inside)
        return condition.holds(Facts(picked({**self._values, **inside}, condition.reads)))

    def _child(self, name: str, inside: dict[str, Any]) -> Child:
        step = self._step
        self._effort.spend(step.payload.looks, inside)
        payload = step.payload.render({**self._values, **inside})
        return Child(name, step.uses, payload, step.retry, step.timeout_seconds)
