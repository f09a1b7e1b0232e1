"""Keeping secrets out of what a script prints: the exact values of its variables become `***`.

Found are the value itself, each longer line of it, and its forms inside JSON and inside a URL; not what a script made
of it in another way, such as a hash or base64. Values under four characters are in too many words to be looked for.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import orjson

SHORTEST = 4
_SHORTEST_LINE = 8
_MASK = "***"
_LEFT_BY_ENCODE_URI_COMPONENT = "-_.!~*'()"


class Redaction:
    """Knows the values that must not be shown."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def text(self, text: str) -> str:
        return self._found.sub(_MASK, text)

    def value(self, value: Any) -> Any:
        """Return the JSON value with every secret in it replaced, in keys and numbers too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self._found.search(str(value)):
            return _MASK
        return value


def _forms(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines()]
    for each in (secret, *(line for line in lines if len(line) >= _SHORTEST_LINE)):
        yield each
        yield orjson.dumps(each).decode()[1:-1]
        yield quote(each, safe=_LEFT_BY_ENCODE_URI_COMPONENT)
