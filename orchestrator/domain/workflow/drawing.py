"""Workflows as Mermaid flowcharts."""

from collections.abc import Iterator

from orchestrator.domain.workflow.workflow import Step, Workflow

_SHAPES = {"once": ("[", "]"), "each": ("[[", "]]"), "always": ("([", "])")}
_LONGEST = 60


def draw(workflow: Workflow) -> str:
    """Return the flowchart: a box for each step, an arrow from each need. A for_each is doubled, an always rounded."""
    return "\n".join(["flowchart TD", *_boxes(workflow), *_arrows(workflow)]) + "\n"


def _boxes(workflow: Workflow) -> Iterator[str]:
    for step in workflow.steps:
        before, behind = _SHAPES["each" if step.for_each else "always" if step.always else "once"]
        yield f'    {_node(step.id)}{before}"{"<br/>".join(_words(step))}"{behind}'


def _words(step: Step) -> Iterator[str]:
    yield f"<b>{_plain(step.name)}</b>"
    yield _plain(step.uses)
    if step.condition is not None:
        yield f"if {_plain(step.condition.text)}"
    marks = {"for each": step.for_each, "always": step.always, "may fail": step.continue_on_error}
    notes = [note for note, holds in marks.items() if holds]
    if notes:
        yield f"<i>{', '.join(notes)}</i>"


def _arrows(workflow: Workflow) -> Iterator[str]:
    for step in workflow.steps:
        for need in step.needs:
            yield f"    {_node(need)} --> {_node(step.id)}"


def _node(step_id: str) -> str:
    """Return a name that is no word of Mermaid's, such as `end`."""
    return f"s_{step_id}"


def _plain(text: str) -> str:
    """Return a text, shortened, whose every character Mermaid takes as it is."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(each if each.isalnum() or each in " .,_-/…" else f"#{ord(each)};" for each in short)
