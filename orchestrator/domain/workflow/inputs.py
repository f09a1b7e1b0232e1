"""The inputs that a workflow declares: a name, a type in JSON Schema's words, a default."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import Issue
from orchestrator.domain.workflow.fields import Fields, below

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_FIELDS = ("type", "description", "default", "required", "enum", "minimum", "maximum")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
NAME_MEANS = "a letter or _, then letters, digits and _, at most 64: it is used in expressions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input. Without a value and without a default it is null."""

    name: str
    type: str | None
    description: str
    default: Any
    required: bool
    enum: list[Any] | None
    minimum: float | None
    maximum: float | None

    def fault_of(self, value: Any) -> str | None:
        """Return what is wrong with a value, None when it fits."""
        if self.type is not None and not _is(value, self.type):
            return f"must be {'an' if self.type[0] in 'aio' else 'a'} {self.type}"
        if self.enum is not None and value not in self.enum:
            return f"must be one of {', '.join(map(repr, self.enum))}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                return f"must be at least {self.minimum:g}"
            if self.maximum is not None and value > self.maximum:
                return f"must be at most {self.maximum:g}"
        return None


def declared(value: Any, pointer: str, issues: list[Issue]) -> tuple[Input, ...]:
    """Return the declarations without fault, and note the others."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        issues.append(Issue(pointer, "must be an object: a name for each input, and its declaration"))
        return ()
    inputs = []
    for name, declaration in value.items():
        place = below(pointer, name)
        if not NAME.fullmatch(name):
            issues.append(Issue(place, f"an input's name is {NAME_MEANS}"))
            continue
        inputs.append(_input(name, Fields({} if declaration is None else declaration, place, _FIELDS, issues)))
    return tuple(inputs)


def _input(name: str, fields: Fields) -> Input:
    kind, enum = fields.value("type"), fields.value("enum")
    if kind is not None and kind not in TYPES:
        fields.fault("type", f"must be one of {', '.join(TYPES)}")
        kind = None
    if enum is not None and not (isinstance(enum, list) and enum):
        fields.fault("enum", "must be an array with the values it may have")
        enum = None
    declaration = Input(
        name=name,
        type=kind,
        description=fields.text("description", longest=2_000),
        default=fields.value("default"),
        required=fields.flag("required"),
        enum=enum,
        minimum=_limit("minimum", fields),
        maximum=_limit("maximum", fields),
    )
    if declaration.default is not None and (fault := declaration.fault_of(declaration.default)):
        fields.fault("default", fault)
    return declaration


def _limit(name: str, fields: Fields) -> float | None:
    found: Any = fields.value(name)
    if found is None or _is(found, "number"):
        return None if found is None else float(found)
    fields.fault(name, "must be a number")
    return None


def fill(inputs: Sequence[Input], given: Mapping[str, Any], pointer: str = "") -> tuple[dict[str, Any], list[Issue]]:
    """Return a value for every input, and what is wrong with those that were given."""
    issues, known = [], [each.name for each in inputs]
    for name in given:
        if name not in known:
            there_are = f"declared are: {', '.join(known)}" if known else "it declares none"
            issues.append(Issue(below(pointer, name), f"is not an input of this workflow; {there_are}"))
    values = {}
    for each in inputs:
        value = given.get(each.name)
        values[each.name] = each.default if value is None else value
        if value is None:
            fault = "is required" if each.required and each.default is None else None
        else:
            fault = each.fault_of(value)
        if fault:
            issues.append(Issue(below(pointer, each.name), fault))
    return values, issues


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
