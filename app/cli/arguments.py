"""What people type: the options several verbs share, and how their values are read.

A value that cannot be read is refused with the form that works, before anything is sent.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option(help="The next_cursor of the page before.")]
TaskIdArgument = Annotated[str, typer.Argument(metavar="ID", help="A task's id.")]

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_SPAN = re.compile(f"({_NUMBER})(ms|s|m|h|d)")


def read_payload(text: str) -> bytes:
    """Return the JSON given as text, as `@file`, or as `-` for standard input; its bytes are sent unchanged."""
    if text == "-":
        raw, source = sys.stdin.buffer.read(), "standard input"
    elif text.startswith("@"):
        raw, source = _read_file(Path(text[1:])), text[1:]
    else:
        raw, source = text.encode(), "--payload"
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(
            f"{source} is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error
    return raw


def read_span(text: str) -> float:
    """Return the seconds of `10s`, `1h30m`, `250ms` or a bare number of seconds."""
    try:
        return _number_of_seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a span: write 10s, 5m, 1h30m, 2d or a number of seconds") from error


def read_tags(pairs: Sequence[str]) -> dict[str, str]:
    """Return `k=v` pairs as a mapping."""
    tags: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} is not a tag: write KEY=VALUE")
        tags[key] = value
    return tags


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from error


def _number_of_seconds(text: str) -> float:
    if re.fullmatch(_NUMBER, text):
        return float(text)
    if not re.fullmatch(f"(?:{_SPAN.pattern})+", text):
        raise ValueError(text)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _SPAN.findall(text))
