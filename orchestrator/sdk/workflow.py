"""Workflows for handlers and tools: reading, checking, following and drawing them.

Apart from the rest of the SDK, because loading the expressions' libraries takes half a second: import it where it is
used.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from orchestrator.domain.errors import Issue
from orchestrator.domain.templates import BadTemplate
from orchestrator.domain.workflow.course import Answer, Begun, Course, Ended, Status
from orchestrator.domain.workflow.drawing import draw
from orchestrator.domain.workflow.fields import below
from orchestrator.domain.workflow.inputs import fill
from orchestrator.domain.workflow.parsing import parse
from orchestrator.domain.workflow.text import MAX_BYTES, BadText, checked, read_text
from orchestrator.domain.workflow.workflow import WORKFLOW_TYPE, Step, Workflow
from orchestrator.sdk.handler import Handler

__all__ = [
    "WORKFLOW_TYPE",
    "Answer",
    "BadTemplate",
    "Begun",
    "Course",
    "Ended",
    "Issue",
    "Reading",
    "Status",
    "Step",
    "Workflow",
    "check_payload",
    "check_workflow",
    "draw",
    "fill",
    "read",
]

MAX_NESTING = 3
"""How many workflows may stand inside one another."""
_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Reading:
    """A written workflow, read. What has issues is not to be run."""

    workflow: Workflow | None
    issues: tuple[Issue, ...]
    lines: Mapping[str, int]
    """The line of each JSON pointer, for one that is written in YAML."""

    def line_of(self, pointer: str) -> int | None:
        """Return the line where a place stands, or what it is in."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer)


def read(written: Any) -> Reading:
    """Read a workflow: an object, or a text in YAML or JSON. The last few are remembered."""
    try:
        return _read(orjson.dumps(written))
    except TypeError as error:
        return Reading(None, (Issue("", f"is not JSON: {error}"),), {})


@lru_cache(maxsize=_REMEMBERED)
def _read(document: bytes) -> Reading:
    written, lines = orjson.loads(document), {}
    try:
        if isinstance(written, str):
            text = read_text(written)
            written, lines = text.value, dict(text.lines)
        elif len(document) > MAX_BYTES:
            raise BadText(f"is longer than {MAX_BYTES} bytes")
        workflow, issues = parse(checked(written))
    except BadText as error:
        return Reading(None, (Issue("", str(error)),), lines)
    return Reading(workflow, tuple(issues), lines)


def check_payload(
    payload: Mapping[str, Any], types: Mapping[str, Handler], unknown: Collection[str] = (), nesting: int = 1
) -> list[Issue]:
    """Return all that is wrong with the payload of a workflow's task: `workflow`, and the `inputs` given to it.

    `unknown` are JSON pointers: what stands there is not known yet and does not count.
    """
    reading = read(payload.get("workflow"))
    issues = []
    for each in check_workflow(reading, types, nesting):
        line = reading.line_of(each.pointer)
        issues.append(Issue("/workflow" + each.pointer, each.detail + (f" (line {line})" if line else "")))
    inputs = payload.get("inputs")
    if reading.workflow is not None:
        _, misfits = fill(reading.workflow.inputs, inputs if isinstance(inputs, dict) else {}, "/inputs")
        issues += [each for each in misfits if not any(_is_inside(each.pointer, place) for place in unknown)]
    return issues


def check_workflow(reading: Reading, types: Mapping[str, Handler], nesting: int = 1) -> list[Issue]:
    """Return all that is wrong with a workflow when these are the task types that there are."""
    issues = list(reading.issues)
    for step in reading.workflow.steps if reading.workflow else ():
        if not step.uses:
            continue
        if step.uses not in types:
            known = ", ".join(sorted(types)) or "none"
            issues.append(Issue(below(step.pointer, "uses"), f"no handler is called {step.uses!r}; known are: {known}"))
            continue
        found = types[step.uses].misfits(step.written, step.payload.open_places)
        if step.uses == WORKFLOW_TYPE and isinstance(step.written, dict) and "workflow" in step.written:
            found += _nested(step, types, nesting + 1)
        issues.extend(Issue(below(step.pointer, "with") + each.pointer, each.detail) for each in found)
    return issues


def _nested(step: Step, types: Mapping[str, Handler], nesting: int) -> list[Issue]:
    if nesting > MAX_NESTING:
        return [Issue("/workflow", f"is one too many: at most {MAX_NESTING} workflows may stand inside one another")]
    return check_payload(step.written, types, step.payload.open_places, nesting)


def _is_inside(pointer: str, place: str) -> bool:
    """Whether one of two places is the other, or holds it."""
    return f"{pointer}/".startswith(f"{place}/") or f"{place}/".startswith(f"{pointer}/")
