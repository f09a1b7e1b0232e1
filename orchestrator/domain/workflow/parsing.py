"""Checking a written workflow as a whole: everything that is wrong with it at once, each with its JSON pointer."""

import re
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import Issue
from orchestrator.domain.workflow.expressions import MAX_TEMPLATES, Form, Scope, compile_condition, compile_form
from orchestrator.domain.workflow.fields import Fields, below
from orchestrator.domain.workflow.graph import ancestors_of
from orchestrator.domain.workflow.inputs import NAME, NAME_MEANS, declared
from orchestrator.domain.workflow.workflow import MAX_ITEMS, MAX_STEPS, WORKFLOW_TYPE, Step, Workflow

_FIELDS = ("name", "description", "inputs", "steps", "outputs")
_STEP_FIELDS = (
    "id", "name", "uses", "with", "if", "needs", "for_each", "retry", "timeout", "continue_on_error", "always",
)  # fmt: skip
_EXPRESSION = re.compile(r"\{\{.*\}\}", re.DOTALL)
_MOST_RETRIES = 1_000
_LONGEST_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class _Draft:
    """A step whose expressions are not looked at yet."""

    fields: Fields
    id: str
    uses: str
    needs: tuple[str, ...]


def parse(value: Any) -> tuple[Workflow, list[Issue]]:
    """Return the workflow that a JSON value says, and what is wrong with it; pointers begin at its root."""
    issues: list[Issue] = []
    fields = Fields(value, "", _FIELDS, issues)
    inputs = declared(fields.value("inputs"), "/inputs", issues)
    drafts = _drafts(fields, issues)
    ids = list(dict.fromkeys(draft.id for draft in drafts if draft.id))
    ancestors = ancestors_of([(draft.fields.pointer, draft.id, draft.needs) for draft in drafts], issues)
    names = [each.name for each in inputs]
    steps = [
        _step(draft, Scope(names, ids, ancestors.get(draft.id, ids), "for_each" in draft.fields), issues)
        for draft in drafts
    ]
    outputs = compile_form(fields.value("outputs", {}), "/outputs", Scope(names, ids, ids), issues)
    forms = [outputs, *(form for step in steps for form in (step.payload, step.for_each) if form)]
    templates = sum(len(form.open_places) for form in forms)
    if templates > MAX_TEMPLATES:
        issues.append(Issue("/steps", f"holds {templates} templates; a workflow has at most {MAX_TEMPLATES}"))
    workflow = Workflow(
        name=fields.text("name"),
        description=fields.text("description", longest=2_000),
        inputs=inputs,
        steps=tuple(steps),
        outputs=outputs,
        ancestors=ancestors,
    )
    return workflow, issues


def _drafts(fields: Fields, issues: list[Issue]) -> list[_Draft]:
    written = fields.value("steps")
    if not isinstance(written, list) or not written:
        fields.fault("steps", "must be an array with at least one step")
        return []
    if len(written) > MAX_STEPS:
        fields.fault("steps", f"holds {len(written)} steps; a workflow has at most {MAX_STEPS}")
        return []
    drafts: list[_Draft] = []
    for place, value in enumerate(written):
        step = Fields(value, below("/steps", place), _STEP_FIELDS, issues)
        if not isinstance(value, dict):
            continue
        step_id = step.word("id", NAME, NAME_MEANS)
        if step_id and step_id in (draft.id for draft in drafts):
            step.fault("id", f"another step is called {step_id!r} already")
        drafts.append(_Draft(step, step_id, step.text("uses", longest=100, required=True), _needs(step)))
    return drafts


def _needs(step: Fields) -> tuple[str, ...]:
    """Return the needs of a step: written as an array, or as one id alone."""
    written = step.value("needs", default=[])
    needs = [written] if isinstance(written, str) else written
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        step.fault("needs", "must be an array with the ids of steps")
        return ()
    return tuple(needs)


def _step(draft: _Draft, scope: Scope, issues: list[Issue]) -> Step:
    fields, pointer = draft.fields, draft.fields.pointer
    condition = fields.value("if")
    always = fields.flag("always")
    if always and not draft.needs:
        fields.fault("always", "has nothing to wait for: name in needs the steps that it comes after, however they end")
    return Step(
        pointer=pointer,
        id=draft.id,
        name=fields.text("name") or draft.id,
        uses=draft.uses,
        written=fields.value("with", default={}),
        payload=_payload(draft, scope, issues),
        condition=None if condition is None else compile_condition(condition, below(pointer, "if"), scope, issues),
        needs=draft.needs,
        for_each=_for_each(fields, scope, issues),
        retry=fields.whole_number("retry", _MOST_RETRIES),
        timeout_seconds=fields.seconds("timeout", _LONGEST_SECONDS),
        continue_on_error=fields.flag("continue_on_error"),
        always=always,
    )


def _payload(draft: _Draft, scope: Scope, issues: list[Issue]) -> Form:
    written = draft.fields.value("with", default={})
    nested = draft.uses == WORKFLOW_TYPE
    if nested and not (isinstance(written, dict) and "workflow" in written):
        draft.fields.fault("with", "must be an object with the workflow written out in it, not a template")
    verbatim = "workflow" if nested else None
    return compile_form(written, below(draft.fields.pointer, "with"), scope, issues, verbatim)


def _for_each(fields: Fields, scope: Scope, issues: list[Issue]) -> Form | None:
    if "for_each" not in fields:
        return None
    items = fields.value("for_each")
    form = compile_form(items, below(fields.pointer, "for_each"), Scope(scope.inputs, scope.steps, scope.ended), issues)
    if isinstance(items, list) and len(items) > MAX_ITEMS:
        fields.fault("for_each", f"holds {len(items)} items; at most {MAX_ITEMS} are taken")
    elif not isinstance(items, list) and not (isinstance(items, str) and _EXPRESSION.fullmatch(items)):
        fields.fault("for_each", 'must be an array, or one expression that gives one, as in "{{ inputs.files }}"')
    return form
