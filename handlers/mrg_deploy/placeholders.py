"""Names in braces, `{commit}`, in the texts of a deploy hook: what is filled in when a request is made.

Nothing can be computed in them, and each name is checked when the task is submitted. A text that is one name alone
keeps the value's type in JSON. In a URL values are quoted, except secrets, which may be a URL themselves.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

KNOWN = frozenset({"service", "commit", "ref", "image", "clear_cache", "task_id", "key", "deployment", "target"})
SECRETS = "secrets."

_NAME = re.compile(r"\{([a-z_]+(?:\.[a-z0-9_]+)?)\}")


class Unfilled(ValueError):
    """A name without a value, where there has to be one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{{{name}}} has no value in this task")


def names(value: Any) -> Iterator[str]:
    """Yield the names in every text of a JSON value."""
    if isinstance(value, str):
        yield from _NAME.findall(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from names(part)
    elif isinstance(value, list):
        for part in value:
            yield from names(part)


def fill(value: Any, values: Mapping[str, Any]) -> Any:
    """Return the JSON value with its names filled in; without a value a name is null, or empty inside a text."""
    if isinstance(value, str):
        alone = _NAME.fullmatch(value)
        if alone:
            return values.get(alone[1])
        return _NAME.sub(lambda name: _spelled(values.get(name[1])), value)
    if isinstance(value, Mapping):
        return {name: fill(part, values) for name, part in value.items()}
    return [fill(part, values) for part in value] if isinstance(value, list) else value


def fill_text(text: str, values: Mapping[str, Any]) -> str:
    """Return the text with its names filled in. Raises Unfilled."""
    return _NAME.sub(lambda name: _spelled(_given(name[1], values)), text)


def fill_url(text: str, values: Mapping[str, Any]) -> str:
    """Like `fill_text`, for a URL."""

    def part(name: re.Match[str]) -> str:
        spelled = _spelled(_given(name[1], values))
        return spelled if name[1].startswith(SECRETS) else quote(spelled, safe="")

    return _NAME.sub(part, text)


def _given(name: str, values: Mapping[str, Any]) -> Any:
    value = values.get(name)
    if value is None:
        raise Unfilled(name)
    return value


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
