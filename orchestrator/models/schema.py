"""A careful check of a JSON value against a JSON Schema, for what providers promise and do not always keep.

It knows the part of JSON Schema that models are asked with: types, properties, items, enum and const, the three ofs,
references inside the document, and bounds. What it does not know it lets pass; `pattern` and `format` too, because a
schema may come from a task's payload, and an expression can be written that never ends. That the schema itself can be
used, `orchestrator.models.schema_form` has found out before.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.domain.errors import InvalidInput, Issue

DEEPEST = 64
OFS = ("allOf", "anyOf", "oneOf")
_MOST_STEPS = 50_000
"""A schema can be written that takes for ever, and nothing else runs meanwhile."""
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def issues(value: Any, schema: dict[str, Any]) -> list[str]:
    """Return what is wrong, each with a JSON pointer; an empty list when it fits.

    Raises InvalidInput when it takes too long to find out.
    """
    return list(_Check(schema).all(value, schema, "", 0))


def resolve(root: dict[str, Any], reference: str) -> Any:
    """Return the schema that a reference means; True, which all values fit, for one that leads to none in here."""
    if reference != "#" and not reference.startswith("#/"):
        return True
    found: Any = root
    for part in reference.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name, True) if isinstance(found, dict) else True
    return found


def is_closed(schema: Any) -> bool:
    """Whether every object in it lists its properties and takes no others: what strict modes of providers demand."""
    if isinstance(schema, list):
        return all(is_closed(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    is_object = schema.get("type") == "object" or "properties" in schema
    if is_object and (not schema.get("properties") or schema.get("additionalProperties") is not False):
        return False
    return all(is_closed(part) for part in schema.values())


def requires_all(schema: Any) -> bool:
    """Whether every property of every object is required."""
    if isinstance(schema, list):
        return all(requires_all(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict):
        required = schema.get("required")
        if set(properties) != (set(map(str, required)) if isinstance(required, list) else set()):
            return False
    return all(requires_all(part) for part in schema.values())


class _Check:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._steps = 0

    def all(self, value: Any, schema: Any, at: str, depth: int) -> Iterator[str]:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            steps = f"takes more than {_MOST_STEPS} steps to hold the answer to"
            raise InvalidInput(f"the schema {steps}: ask for less at a time", [Issue("/schema", steps)])
        if depth > DEEPEST:
            yield f"{at or '/'}: nested deeper than {DEEPEST} levels"
            return
        if not isinstance(schema, dict):
            if schema is False:
                yield f"{at or '/'}: nothing may be here"
            return
        yield from self._reference(value, schema, at, depth)
        yield from _kind(value, schema, at)
        yield from _bounds(value, schema, at)
        yield from self._alternatives(value, schema, at, depth)
        if isinstance(value, dict):
            yield from self._properties(value, schema, at, depth)
        if isinstance(value, list):
            yield from self._elements(value, schema, at, depth)

    def _reference(self, value: Any, schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
        reference = schema.get("$ref")
        if reference is not None:
            yield from self.all(value, resolve(self._root, reference), at, depth + 1)

    def _alternatives(self, value: Any, schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
        for part in schema.get("allOf", ()):
            yield from self.all(value, part, at, depth + 1)
        for name in ("anyOf", "oneOf"):
            fitting = [not any(self.all(value, part, at, depth + 1)) for part in schema.get(name, ())]
            if name in schema and (sum(fitting) == 0 or (name == "oneOf" and sum(fitting) > 1)):
                yield f"{at or '/'}: has to fit {'one' if name == 'oneOf' else 'any'} of the {len(fitting)} forms"

    def _properties(self, value: dict[str, Any], schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
        known = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{at}/{name}: is missing"
        for name, part in value.items():
            if name in known:
                yield from self.all(part, known[name], f"{at}/{name}", depth + 1)
            elif "additionalProperties" in schema:
                yield from self.all(part, schema["additionalProperties"], f"{at}/{name}", depth + 1)

    def _elements(self, value: list[Any], schema: dict[str, Any], at: str, depth: int) -> Iterator[str]:
        first = schema.get("prefixItems", ())
        for number, part in enumerate(value):
            rule = first[number] if number < len(first) else schema.get("items", True)
            yield from self.all(part, rule, f"{at}/{number}", depth + 1)


def _kind(value: Any, schema: dict[str, Any], at: str) -> Iterator[str]:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else wanted or []
    if names and not any(_is_a(value, name) for name in names):
        yield f"{at or '/'}: has to be {' or '.join(names)}"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"{at or '/'}: has to be one of {schema['enum']!r:.200}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{at or '/'}: has to be {schema['const']!r:.200}"


def _is_a(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _bounds(value: Any, schema: dict[str, Any], at: str) -> Iterator[str]:
    size: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        size, least, most = value, "minimum", "maximum"
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            yield f"{at or '/'}: has to be more than {schema['exclusiveMinimum']}"
        if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
            yield f"{at or '/'}: has to be less than {schema['exclusiveMaximum']}"
    elif isinstance(value, str):
        size, least, most = len(value), "minLength", "maxLength"
    elif isinstance(value, list):
        size, least, most = len(value), "minItems", "maxItems"
    if size is not None and size < schema.get(least, size):
        yield f"{at or '/'}: {least} is {schema[least]}"
    if size is not None and size > schema.get(most, size):
        yield f"{at or '/'}: {most} is {schema[most]}"
