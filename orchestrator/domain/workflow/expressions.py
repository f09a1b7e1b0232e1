"""The templates and conditions of a workflow, and whether what they look at is there when they are asked.

They see `inputs.<name>`, `steps.<id>` with `output`, `status` and `error`, `task.id`, and inside a `for_each` also
`item` and `index`. A step sees those steps that have ended before it begins.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.domain.conditions import BadCondition, Condition
from orchestrator.domain.errors import Issue
from orchestrator.domain.templates import MAX_OUTPUT_BYTES, BadTemplate, Template, reads
from orchestrator.domain.workflow.fields import below

MAX_TEMPLATES = 500
"""In one workflow. To compile them takes about half a millisecond each."""

_STEP_KEYS = ("output", "status", "error")
_TASK_KEYS = ("id",)
_ITEM = ("item", "index")
_MARKS = ("{{", "{%", "{#")

Values = Mapping[str, Any]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What one place of a workflow can see."""

    inputs: Collection[str]
    steps: Collection[str]
    """All there are."""
    ended: Collection[str]
    """Those of them that have ended when this place is looked at."""
    in_loop: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return ("inputs", "steps", "task", *(_ITEM if self.in_loop else ()))

    def faults(self, paths: Iterable[Path]) -> Iterator[str]:
        """Say what is wrong with what an expression looks at."""
        for path in sorted(set(paths)):
            name, keys = path[0], path[1:]
            if name not in self.names:
                yield self._no_name(name)
            elif name == "inputs" and keys and keys[0] not in self.inputs:
                yield f"there is no input {keys[0]!r}; declared are: {_listed(self.inputs)}"
            elif name == "task" and keys and keys[0] not in _TASK_KEYS:
                yield f"task has no {keys[0]!r}, it has {_listed(_TASK_KEYS)}"
            elif name == "steps" and keys:
                yield from self._step_faults(*keys)

    def _no_name(self, name: str) -> str:
        hint = ", and item and index in a step with for_each" if name in _ITEM else ""
        return f"there is no variable {name!r} here; there are: {_listed(self.names)}{hint}"

    def _step_faults(self, step: str, key: str | None = None, *_: str) -> Iterator[str]:
        if step not in self.steps:
            yield f"there is no step {step!r}; there are: {_listed(self.steps)}"
        elif step not in self.ended:
            yield f"the step {step!r} may not have ended yet: add it to needs"
        if key is not None and key not in _STEP_KEYS:
            yield f"a step has no {key!r}, it has {_listed(_STEP_KEYS)}"


@dataclass(frozen=True, slots=True)
class Look:
    """How much work one expression may be, told by what it looks at."""

    paths: Sequence[Path]
    """As often as each is used."""
    operations: int
    """How many of them may go through all of it."""
    crossing: float = 0.0
    """What one step costs where a part is gone through for each element of another; 0 where that cannot be."""


def look_of(condition: Condition) -> Look:
    return Look(condition.reads, 2, crossing=1.0 if condition.loops else 0.0)


def _look(template: str, paths: Sequence[Path]) -> Look:
    crosses = any(name in template for name in ("select", "reject", "map"))
    return Look(paths, 1 + template.count("|") + template.count("("), crossing=0.05 if crosses else 0.0)


class Form:
    """A JSON value whose texts are templates."""

    def __init__(self, render: Callable[[Values], Any], open_places: Sequence[str], looks: Sequence[Look]) -> None:
        self._render = render
        self.open_places = open_places
        """The JSON pointers of the templates, from the value's root: what stands there is known later."""
        self.looks = looks
        """One for each template."""

    def render(self, values: Values) -> Any:
        """Return the JSON value. Raises BadTemplate, also when it is larger than templates may make."""
        value = self._render(values)
        if len(orjson.dumps(value)) > MAX_OUTPUT_BYTES:
            raise BadTemplate(f"it renders to more than {MAX_OUTPUT_BYTES} bytes")
        return value


def compile_form(value: Any, pointer: str, scope: Scope, issues: list[Issue], verbatim: str | None = None) -> Form:
    """Return the form of a value, and note the templates in it that are at fault.

    The field `verbatim` of the value, if it has one, is no form and stays as it is written.
    """
    compiling = _Compiling(pointer, scope, issues)
    if verbatim is None or not isinstance(value, dict) or verbatim not in value:
        return Form(compiling.compiled(value, ""), compiling.open_places, compiling.looks)
    render = compiling.compiled({name: part for name, part in value.items() if name != verbatim}, "")
    kept = {verbatim: value[verbatim]}
    return Form(lambda values: render(values) | kept, compiling.open_places, compiling.looks)


class _Compiling:
    """One walk through a value."""

    def __init__(self, pointer: str, scope: Scope, issues: list[Issue]) -> None:
        self.open_places: list[str] = []
        self.looks: list[Look] = []
        self._pointer = pointer
        self._scope = scope
        self._issues = issues

    def compiled(self, value: Any, place: str) -> Callable[[Values], Any]:
        if isinstance(value, str) and any(mark in value for mark in _MARKS):
            return self._text(value, place)
        if isinstance(value, dict):
            fields = {name: self.compiled(part, below(place, name)) for name, part in value.items()}
            return lambda values: {name: render(values) for name, render in fields.items()}
        if isinstance(value, list):
            parts = [self.compiled(part, below(place, index)) for index, part in enumerate(value)]
            return lambda values: [render(values) for render in parts]
        return lambda _: value

    def _text(self, source: str, place: str) -> Callable[[Values], Any]:
        self.open_places.append(place)
        try:
            template, paths = Template(source), reads(source)
        except BadTemplate as error:
            self._issues.append(Issue(self._pointer + place, f"is no template: {error.reason}"))
            return lambda _: None
        self._issues.extend(Issue(self._pointer + place, fault) for fault in self._scope.faults(paths))
        self.looks.append(_look(source, paths))
        return template.render


def compile_condition(text: Any, pointer: str, scope: Scope, issues: list[Issue]) -> Condition | None:
    """Return the condition of an `if`, and note what is wrong with it; `true` and `false` may stand there too."""
    if isinstance(text, bool):
        text = str(text).lower()
    if not isinstance(text, str) or not text.strip():
        issues.append(Issue(pointer, 'must be a condition in CEL, as in: steps.build.status == "failed"'))
        return None
    if "{{" in text:
        issues.append(Issue(pointer, "is a condition, not a template: write it without {{ and }}"))
        return None
    try:
        condition = Condition(text, scope.names)
    except BadCondition as error:
        issues.append(Issue(pointer, str(error)))
        return None
    issues.extend(Issue(pointer, fault) for fault in scope.faults(condition.reads))
    return condition


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
