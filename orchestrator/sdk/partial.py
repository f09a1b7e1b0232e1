"""Judging a payload of which some places are known later only: what is wrong with it whatever they will hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, BaseModel

from orchestrator.domain.errors import Issue

_Place = tuple[str, ...]


def lasting(found: Sequence[Mapping[str, Any]], payload: Any, unknown: Collection[str]) -> list[Issue]:
    """Return those of pydantic's findings that stand; `unknown` are JSON pointers from the payload's root."""
    places = [tuple(_unescaped(part) for part in pointer.split("/")[1:]) for pointer in unknown]
    said: dict[str, list[str]] = {}
    for finding in found:
        trace = _trace(finding["loc"], payload)
        if not _stands(finding["type"], trace, places):
            continue
        missing = trace.rest if finding["type"] == "missing" else ()
        sentences = said.setdefault(_pointer((*trace.path, *missing)), [])
        if finding["msg"] not in sentences:
            sentences.append(finding["msg"])
    return [Issue(pointer, ", or ".join(sentences)) for pointer, sentences in said.items()]


def unknown_fields(model: Any, payload: Any) -> list[Issue]:
    """Return the fields at the top of a payload that its model would pass over in silence."""
    if not (isinstance(model, type) and issubclass(model, BaseModel) and isinstance(payload, dict)):
        return []
    if model.model_config.get("extra") not in (None, "ignore"):
        return []
    known: dict[str, None] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        if any(choice is not None and not isinstance(choice, str) for choice in choices):
            return []  # it looks into the payload by a path of its own
        known |= dict.fromkeys([name, *(choice for choice in choices if isinstance(choice, str))])
    detail = f"is no field of the payload; there are: {', '.join(known) or 'none'}"
    return [Issue(_pointer((name,)), detail) for name in payload if name not in known]


@dataclass(frozen=True, slots=True)
class _Trace:
    """A location of pydantic's, laid over the payload."""

    path: _Place
    """What of it is there."""
    rest: _Place
    """Its last step, when that is not there: a field that is missing, or one kind of a union."""
    forks: tuple[_Place, ...]
    """Where it names a kind of a union on its way: it speaks for that kind only."""


def _trace(location: Sequence[str | int], payload: Any) -> _Trace:
    path: list[str] = []
    forks: list[_Place] = []
    value = payload
    for count, step in enumerate(location, start=1):
        if step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int):
            path.append(str(step))
            value = value[step]
        elif count == len(location):
            return _Trace(tuple(path), (str(step),), tuple(forks))
        else:
            forks.append(tuple(path))
    return _Trace(tuple(path), (), tuple(forks))


def _stands(kind: str, trace: _Trace, unknown: Sequence[_Place]) -> bool:
    if any(_holds(fork, place) for fork in trace.forks for place in unknown):
        return False  # another kind of the union may be the one that fits
    if (kind == "extra_forbidden" and not trace.rest) or (kind == "missing" and trace.rest):
        return True
    if any(_holds(place, trace.path) for place in unknown):
        return False
    if kind.endswith("_type") and not trace.rest:
        return True  # an object where a text belongs, whatever is in it
    return not any(_holds(trace.path, place) for place in unknown)


def _holds(outer: _Place, inner: _Place) -> bool:
    return inner[: len(outer)] == outer


def _pointer(path: _Place) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
