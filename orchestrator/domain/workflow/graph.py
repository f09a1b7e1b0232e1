"""The order among steps: whom each needs, directly and through others, and what is wrong with that."""

from collections.abc import Mapping, Sequence

from orchestrator.domain.errors import Issue
from orchestrator.domain.workflow.fields import below

Node = tuple[str, str, tuple[str, ...]]
"""A step: its JSON pointer, its id, and the ids that it needs."""


def ancestors_of(nodes: Sequence[Node], issues: list[Issue]) -> dict[str, frozenset[str]]:
    """Return all that each step comes after. Notes needs that are unknown, given twice, or that close a cycle.

    A step that waits for itself, directly or behind a cycle, is left out.
    """
    known: dict[str, tuple[str, ...]] = {}
    for _, step_id, needs in nodes:
        known.setdefault(step_id, needs)
    for pointer, _, needs in nodes:
        for place, need in enumerate(needs):
            if need not in known:
                fault = f"there is no step {need!r}; there are: {', '.join(filter(None, known)) or 'none'}"
            elif need in needs[:place]:
                fault = f"{need!r} is named twice"
            else:
                continue
            issues.append(Issue(below(pointer, "needs", place), fault))
    found = _resolved(known)
    _note_cycles(nodes, {step_id: needs for step_id, needs in known.items() if step_id not in found}, issues)
    return found


def _resolved(known: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """Take steps as their needs are done, until nothing more can be taken."""
    found: dict[str, frozenset[str]] = {}
    left = {step_id: [need for need in needs if need in known] for step_id, needs in known.items()}
    while ready := [step_id for step_id, needs in left.items() if all(need in found for need in needs)]:
        for step_id in ready:
            needs = left.pop(step_id)
            found[step_id] = frozenset(needs).union(*(found[need] for need in needs))
    return found


def _note_cycles(nodes: Sequence[Node], left: Mapping[str, tuple[str, ...]], issues: list[Issue]) -> None:
    """Name each cycle once, at the need of its first written step that belongs to it."""
    seen: set[str] = set()
    for pointer, step_id, needs in nodes:
        if left.get(step_id) != needs or step_id in seen:
            continue
        path = [step_id]
        while (following := next((need for need in left[path[-1]] if need in left), path[0])) not in path:
            path.append(following)
        cycle = path[path.index(following) :]
        if step_id in cycle and not seen & set(cycle):
            place = needs.index(cycle[1] if len(cycle) > 1 else step_id)
            told = " needs ".join([*cycle, step_id])
            issues.append(Issue(below(pointer, "needs", place), f"makes a cycle: {told}"))
            seen.update(cycle)
