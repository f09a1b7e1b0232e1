"""What a model says, as it can be kept: no store keeps U+0000, and JSON holds no half of a surrogate pair.

An answer that cannot be kept would be paid for again by every attempt.
"""

import re
from typing import Any

import orjson

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""U+0000 inside JSON: this escape behind an even number of backslashes."""


def storable(text: str) -> str:
    """Return the text with U+FFFD in place of what cannot be kept."""
    return _UNSTORABLE.sub("\ufffd", text)


def load_json(text: str) -> Any:
    """Return the value of a JSON text, with U+FFFD for every U+0000. Raises orjson.JSONDecodeError."""
    return orjson.loads(_ESCAPED_NUL.sub(r"\1\\ufffd", text))


def is_storable(value: Any) -> bool:
    """Whether a value of JSON can be kept as it is."""
    try:
        return _ESCAPED_NUL.search(orjson.dumps(value).decode()) is None
    except TypeError:
        return False
