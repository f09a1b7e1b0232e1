"""Bounding the work of expressions: it holds the worker, and those who write workflows are strangers.

An expression goes through what it looks at about once for each of its operations, and where it can go through one part
for each element of another, as often as that has elements. Both are known before it begins.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from orchestrator.domain.templates import BadTemplate
from orchestrator.domain.workflow.expressions import Look, Path, Values

MOST_VALUES = 500_000
"""For all expressions of one step together; a second or so at worst."""
_CHARACTERS_A_VALUE = 200
"""So much text is as much work as one value."""


class Effort:
    """What is left for the expressions of one step."""

    def __init__(self, values: Values) -> None:
        """`values` are those that every expression of the step sees."""
        self._values = values
        self._sizes: dict[Path, int] = {}
        self._left: float = MOST_VALUES

    def spend(self, looks: Iterable[Look], inside: Values = MappingProxyType({})) -> None:
        """Take off their work; `inside` are the values of one item. Raises BadTemplate beyond the bound."""
        for look in looks:
            sizes = [self._size(path, inside) for path in look.paths]
            whole, largest = sum(sizes), max(sizes, default=0)
            self._left -= look.operations * whole + look.crossing * largest * (whole - largest)
            if self._left < 0:
                names = ", ".join(sorted({".".join(path) for path in look.paths}))
                raise BadTemplate(f"this step's expressions go through more than {MOST_VALUES} values, in {names} last")

    def _size(self, path: Path, inside: Values) -> int:
        if path[0] in inside:
            return size_of(_found(inside, path))
        if path not in self._sizes:
            self._sizes[path] = size_of(_found(self._values, path))
        return self._sizes[path]


def picked(values: Values, paths: Iterable[Path]) -> dict[str, Any]:
    """Return only what stands at these paths, as far as it is there: what CEL is given it converts as a whole."""
    result: dict[str, Any] = {}
    for path in sorted(paths):  # shorter ones first: what is behind them is there with them
        _pick(result, values, path)
    return result


def size_of(value: Any) -> int:
    """Return how many values there are inside, long texts counted for more."""
    size, left = 0, [value]
    while left and size <= MOST_VALUES:
        part = left.pop()
        size += 1
        if isinstance(part, str):
            size += len(part) // _CHARACTERS_A_VALUE
        elif isinstance(part, dict):
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
    return size


def _found(value: Any, path: Path) -> Any:
    """Return what stands at a path; where it ends early, the last that is there."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            break
        value = value[key]
    return value


def _pick(into: dict[str, Any], values: Any, path: Path) -> None:
    for place, key in enumerate(path):
        last = place == len(path) - 1
        if key not in values or (values[key] is None and not last):
            return  # what lies inside null is missing, like any key that is not there
        part = values[key]
        if last or not isinstance(part, Mapping):
            into[key] = part
            return
        if into.get(key) is part:  # a shorter path has it all
            return
        into, values = into.setdefault(key, {}), part
