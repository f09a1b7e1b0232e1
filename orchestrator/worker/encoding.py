"""From what handlers give to JSON that can be stored.

A result that JSON or Postgres cannot hold is refused, with words for its author. A text or a log field never is: it
is made to fit, because nobody should lose an attempt over a line of a log.
"""

import math
import re
from base64 import b64decode, b64encode
from dataclasses import fields, is_dataclass
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from orchestrator.domain.trim import trimmed
from orchestrator.sdk import Terminal

LONGEST_TEXT = 16_384
"""Characters of a told text, and bytes of a log's fields."""

# Inside JSON, U+0000 is this escape behind an even number of backslashes. Postgres' jsonb refuses it.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


_BYTES, _JSON = "aurea:base64", "aurea:json"
"""What a step's result is an object of, alone, that was bytes, or that would pass for one of these two."""
_OURS = b'{"aurea:'


class Unstorable(Terminal):
    """A value that cannot be kept. A retry would make the same one."""


class ResultTooLarge(Terminal):
    """A result over MAX_RESULT_BYTES."""


def encode_json(value: Any, what: str) -> bytes:
    """Return the JSON of a value, which may be a pydantic model, a dataclass or anything orjson takes.

    Raises Unstorable, whose words call the value `what`.
    """
    try:
        encoded = trimmed(orjson.dumps(value, default=_model))
    except (TypeError, PydanticSerializationError) as error:
        raise Unstorable(f"{what} is of type {type(value).__name__}, which is not JSON: {error}") from None
    if b"null" in encoded and value is not None and _holds_nan(value):
        raise Unstorable(f"{what} holds a number that is not finite (NaN or Infinity), which is not JSON")
    if b"\\u0000" in encoded and _NUL.search(encoded):
        raise Unstorable(f"{what} holds the character U+0000, which Postgres cannot keep")
    return encoded


def encode_result(value: Any, what: str, limit_bytes: float) -> bytes:
    """Return the JSON of a handler's result. Raises Unstorable or ResultTooLarge."""
    encoded = encode_json(value, what)
    if len(encoded) > limit_bytes:
        raise ResultTooLarge(f"{what} has {len(encoded)} bytes of JSON; at most {limit_bytes} are kept")
    return encoded


def encode_step(value: Any, what: str, limit_bytes: float = math.inf) -> bytes:
    """Return the JSON of a step's result, which may be bytes as well. Raises Unstorable or ResultTooLarge."""
    if isinstance(value, bytes):
        return encode_result({_BYTES: b64encode(value).decode()}, what, limit_bytes)
    encoded = encode_result(value, what, limit_bytes)
    return b'{"%b":%b}' % (_JSON.encode(), encoded) if encoded.startswith(_OURS) else encoded


def decode_step(kept: bytes) -> Any:
    """Return a step's result as its handler gets it."""
    value = orjson.loads(kept)
    if not kept.startswith(_OURS):
        return value
    return b64decode(value[_BYTES]) if _BYTES in value else value[_JSON]


def encode_event(content: dict[str, Any]) -> bytes:
    """Return the JSON of an event, always: what cannot be kept is replaced by words."""
    try:
        encoded = _dumps_leniently(content)
    except TypeError:
        encoded = _dumps_leniently(_readable(content))
    return _NUL.sub(rb"\1\\ufffd", encoded) if b"\\u0000" in encoded else encoded


def clean(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return the text as it can be stored, cut with a note of how much is missing."""
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text) - limit} more characters)"
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _model(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _holds_nan(value: Any) -> bool:
    """orjson writes null for a number that is not finite; nobody asked for a null there."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return any(map(_holds_nan, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_nan, value))
    return is_dataclass(value) and any(_holds_nan(getattr(value, each.name)) for each in fields(value))


def _readable(value: Any) -> Any:
    """The value if JSON takes it, its printed form otherwise."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): _readable(inner) for name, inner in value.items()}
    try:
        _dumps_leniently(value)
    except TypeError:
        return _printed(value)
    return value


def _dumps_leniently(value: Any) -> bytes:
    return trimmed(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS))


def _printed(value: Any) -> str:
    try:
        return clean(repr(value))
    except Exception:  # noqa: BLE001 - its author's __repr__
        return f"a {type(value).__name__}"
