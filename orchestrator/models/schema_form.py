"""Whether a JSON Schema can be used at all: found out before a model is asked, because an answer is paid for.

It looks at the keywords that `orchestrator.models.schema` goes by, wherever the schema and its references lead. What it
does not know it lets pass.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.models.schema import DEEPEST, OFS, resolve

_MOST_ISSUES = 10


def check_form(schema: dict[str, Any]) -> None:
    """Raises InvalidInput for a schema that cannot be used, with JSON pointers that begin with /schema."""
    try:
        orjson.dumps(schema)
    except TypeError as error:
        raise _unusable([Issue("/schema", f"has to be JSON: {error}")]) from None
    found = _Walk(schema).found
    if found:
        raise _unusable(found)


def _unusable(found: list[Issue]) -> InvalidInput:
    """The first stands in the sentence: it is all that a task's error shows."""
    return InvalidInput(f"the schema cannot be used: {found[0].pointer} {found[0].detail}", found[:_MOST_ISSUES])


class _Walk:
    """One way through all of a schema."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.found: list[Issue] = []
        self._root = root
        self._seen: dict[int, tuple[str, dict[str, Any]]] = {}
        self._levels: dict[int, int] = {}
        pending: list[tuple[str, Any]] = [("/schema", root)]
        while pending:
            pending += self._look(*pending.pop())
        if not self.found:
            self._look_for_ends()

    def _look(self, at: str, schema: Any) -> Iterator[tuple[str, Any]]:
        """Note what is wrong with one schema; yield those inside it."""
        if not isinstance(schema, dict):
            if not isinstance(schema, bool):
                self.found.append(Issue(at, "has to be an object, true or false"))
            return
        if id(schema) in self._seen:
            return
        self._seen[id(schema)] = at, schema
        wrong = [name for name, (fits, _) in _FORMS.items() if name in schema and not fits(schema[name])]
        self.found += [Issue(f"{at}/{name}", f"has to be {_FORMS[name][1]}") for name in wrong]
        if not wrong:
            yield from _parts(at, schema)
            yield from self._target(schema)

    def _target(self, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        reference = schema.get("$ref", "")
        if reference.startswith("#"):
            yield f"/schema{reference[1:]}", resolve(self._root, reference)

    def _look_for_ends(self) -> None:
        for at, schema in self._seen.values():
            if self._levels_of(schema, DEEPEST) > DEEPEST:
                self.found.append(Issue(at, f"refers to itself without end, or over more than {DEEPEST} levels"))
                return

    def _levels_of(self, schema: Any, left: int) -> int:
        """How many schemas one value has to be held to in a row; more than DEEPEST stands for all that is more."""
        if not isinstance(schema, dict):
            return 0
        if left == 0:
            return DEEPEST + 1
        if id(schema) not in self._levels:
            most = 0
            for part in (*_alternatives(schema), *(target for _, target in self._target(schema))):
                most = max(most, self._levels_of(part, left - 1))
                if most >= DEEPEST:
                    break
            self._levels[id(schema)] = most + 1
        return self._levels[id(schema)]


def _parts(at: str, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the schemas that stand in this one, for the value or for parts of it."""
    for name, part in schema.get("properties", {}).items():
        yield f"{at}/properties/{name}", part
    for name in (*OFS, "prefixItems"):
        for number, part in enumerate(schema.get(name, ())):
            yield f"{at}/{name}/{number}", part
    for name in ("items", "additionalProperties"):
        if name in schema and not _is_list(schema[name]):  # a list of items is an older way, which is not checked
            yield f"{at}/{name}", schema[name]


def _alternatives(schema: dict[str, Any]) -> list[Any]:
    return [part for name in OFS for part in schema.get(name, ())]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    return _is_list(value) and all(map(_is_text, value))


_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "$ref": (_is_text, "a reference"),
    "type": (lambda value: _is_text(value) or _are_names(value), "the name of a type, or a list of them"),
    "properties": (lambda value: isinstance(value, dict), "an object of schemas"),
    "required": (_are_names, "a list of names"),
    "enum": (lambda value: _is_list(value) and len(value) > 0, "a list of values"),
    "prefixItems": (_is_list, "a list of schemas"),
    **dict.fromkeys(OFS, (lambda value: _is_list(value) and len(value) > 0, "a list of schemas, with one at least")),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (_is_number, "a number")),
}
