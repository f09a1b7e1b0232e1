"""Keeping secrets out of what is told: the values that a handler knows become `[redacted]`.

Found are a value itself, each longer line of it, and its forms inside JSON and inside a URL; not what somebody made
of it in another way, such as a hash or base64. Values under four characters are in too many words to be looked for.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import orjson

HIDDEN = "[redacted]"
"""The mark that the system's own logs have, too."""
SHORTEST = 4
_SHORTEST_LINE = 8
_LEFT_BY_ENCODE_URI_COMPONENT = "-_.!~*'()"


class Redaction:
    """Knows the values that must not be shown, and shows none of them itself."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def text(self, text: str) -> str:
        """Return the text with every secret in it replaced."""
        return self._found.sub(HIDDEN, text)

    def value(self, value: Any) -> Any:
        """Return the JSON value with every secret in it replaced, in keys and numbers too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self._found.search(str(value)):
            return HIDDEN
        return value


def _forms(secret: str) -> Iterator[str]:
    # Bytes of a variable that are no UTF-8 look different there and in an output that was read.
    readable = secret.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    lines = [line.strip() for line in readable.splitlines()]
    yield secret
    for each in (readable, *(line for line in lines if len(line) >= _SHORTEST_LINE)):
        yield each
        yield orjson.dumps(each).decode()[1:-1]
        yield quote(each, safe=_LEFT_BY_ENCODE_URI_COMPONENT)
        yield quote(each, safe="")
