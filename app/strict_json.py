"""Strict JSON at the door: what is let in can be stored, and comes out as it went in.

One document in UTF-8, no NaN or Infinity, no NUL and no lone surrogate in any text, integers within 64 bits, no key
twice in one object, at most 100 levels. orjson refuses most of it; the rest is looked for only when the bytes hint at
it, but for the keys: they are read a second time, which costs a task's body 4 µs.

Two equal keys are refused because readers differ in which one counts: what one checks, another may not use.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from orchestrator.domain.errors import InvalidInput, Issue, NotJson

DEEPEST = 100
_MOST_ISSUES = 20
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_NINETEEN_DIGITS = b"0" * 19
_NUL_ESCAPE = b"\\u0000"
_REFUSED = "the body holds values that cannot be kept"


def parse_json(body: bytes) -> Any:
    """Return the value. Raises NotJson, or InvalidInput with a pointer to each value that cannot be kept."""
    if not body:
        raise NotJson("the body is empty: send one JSON document")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _diagnosis(body, str(error)) from None
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _check_depth(value)
    if _NUL_ESCAPE in body or _NINETEEN_DIGITS in body.translate(_DIGITS_TO_ZERO) or _repeats(body):
        issues = _unfit(body)
        if issues:
            raise InvalidInput(_REFUSED, issues)
    return value


def pointer_to(*steps: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of a path, as text that any encoder can write."""
    text = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\u0000")


def _diagnosis(body: bytes, reason: str) -> InvalidInput:
    """Say what is wrong with a body that orjson refused."""
    if "depth limit" in reason:
        return _too_deep()
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return NotJson(f"the body is not UTF-8: byte {error.start} does not belong to a character")
    issues = _unfit(body)
    return InvalidInput(_REFUSED, issues) if issues else NotJson(f"the body is not JSON: {reason}")


class _Repeating(dict[str, Any]):
    """An object that was written with a key twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]


def _repeats(body: bytes) -> bool:
    """Whether a key stands twice in one of the objects of this good document."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or (len(pairs) > 1 and len({key for key, _ in pairs}) < len(pairs))

    json.loads(body, object_pairs_hook=look, parse_int=len)  # digits of any number, unread
    return found


def _whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    return read if len(read) == len(pairs) else _Repeating(pairs)


def _unfit(body: bytes) -> list[Issue]:
    """Return where the values are that cannot be kept, as far as a lenient parser can read the body."""
    try:
        value = json.loads(body.decode(), parse_int=_whole_number, object_pairs_hook=_whole)
    except (ValueError, RecursionError):
        return []
    return [issue for issue, _ in zip(_issues(value), range(_MOST_ISSUES), strict=False)]


def _whole_number(digits: str) -> int:
    return int(digits) if len(digits) <= 20 else _LARGEST + 1


def _issues(document: Any) -> Iterator[Issue]:
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value, _Repeating):
                for key in value.twice:
                    yield Issue(pointer_to(*path, key), "this key stands more than once in its object: send it once")
            for key in value:
                if problem := _wrong_text(key):
                    yield Issue(pointer_to(*path, key), f"this key {problem}")
            waiting.extend(((*path, key), inner) for key, inner in reversed(value.items()))
        elif isinstance(value, list):
            waiting.extend(((*path, place), value[place]) for place in reversed(range(len(value))))
        elif problem := _wrong_value(value):
            yield Issue(pointer_to(*path), f"this value {problem}")


def _wrong_value(value: Any) -> str | None:
    if isinstance(value, str):
        return _wrong_text(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "is no finite number: send a number that a double can hold, or null"
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return "does not fit into 64 bits: send it as a string"
    return None


def _wrong_text(text: str) -> str | None:
    if "\x00" in text:
        return "holds the character U+0000, which cannot be stored: remove it"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half of a surrogate pair: send whole characters in UTF-8"
    return None


def _check_depth(value: Any) -> None:
    """Look level by level, so that no input can exhaust the stack."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> InvalidInput:
    return InvalidInput(
        f"the body is nested deeper than {DEEPEST} levels",
        [Issue("", f"flatten it to at most {DEEPEST} levels of objects and arrays")],
    )
