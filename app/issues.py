"""Pydantic's findings as issues: where in the input, and what to do about it, in short sentences.

A union reports each of its branches; they become one issue for the field. Values are never echoed: they may be
secrets.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.strict_json import pointer_to
from orchestrator.domain.errors import InvalidInput, Issue

M = TypeVar("M", bound=BaseModel)

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be a string",
    "int_type": "must be a whole number, not text and not true or false",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be an array",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
}


def validated(model: type[M], value: Any) -> M:
    """Return the value as the model. Raises InvalidInput with an issue for each field that does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True, include_input=False)
        raise refusal(issues_of(found, value, tuple(model.model_fields))) from None


def refusal(issues: Sequence[Issue]) -> InvalidInput:
    """Return the error whose sentence names the first issue, so that `detail` alone says enough."""
    return _refusal(issues[0].pointer or "the body", issues)


def query_refusal(issues: Sequence[Issue]) -> InvalidInput:
    """The same for parameters of a query or a path: the sentence calls the first by its name."""
    return _refusal(issues[0].pointer.removeprefix("/"), issues)


def _refusal(place: str, issues: Sequence[Issue]) -> InvalidInput:
    more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
    return InvalidInput(f"{place} {issues[0].detail}{more}", issues)


def issues_of(found: Iterable[Mapping[str, Any]], value: Any, known: Sequence[str] = ()) -> list[Issue]:
    """Return one issue per place. `value` is what was validated, `known` the fields that its top level may have."""
    sentences: dict[str, list[str]] = {}
    for finding in found:
        path = _path(finding["loc"], value, finding["type"] == "missing")
        sentence = _sentence(finding, known if len(path) == 1 else ())
        said = sentences.setdefault(pointer_to(*path), [])
        if sentence not in said:
            said.append(sentence)
    return [Issue(pointer, ", or ".join(said)) for pointer, said in sentences.items()]


def _path(location: Sequence[str | int], value: Any, missing: bool) -> list[str | int]:
    """Return the steps of a location that exist in the input; the rest are the names of a union's branches."""
    path: list[str | int] = []
    for step in location:
        inside = step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int)
        if inside:
            value = value[step]
        elif not (missing and isinstance(value, dict)):
            break
        path.append(step)
    return path


def _sentence(finding: Mapping[str, Any], known: Sequence[str]) -> str:
    kind = finding["type"]
    if kind == "extra_forbidden":
        return "is not a known field: remove it" + (f", or use one of {', '.join(known)}" if known else "")
    pattern = _SENTENCES.get(kind)
    if pattern is None:
        message: str = finding["msg"]
        return message.removeprefix("Value error, ")
    return pattern.format(**{name: _bound(value) for name, value in finding.get("ctx", {}).items()})


def _bound(value: Any) -> Any:
    """A limit as a person writes it: 10, not 10.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
