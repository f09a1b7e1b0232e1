"""Log lines: one JSON object a line to stdout, or text for people on a terminal.

`configure` is called once by an entry point; everyone else asks `structlog.get_logger(name)`. The standard library's
logging (uvicorn, asyncpg, redis) goes the same way. A line holds ts, level, event and logger, whatever `bind` put into
the context (task_id, trace_id), and its own fields; it is one line whatever the values contain.

Texts are searched for credentials once and remembered. `note` is for the one line that every attempt writes: its
fields are our own words and numbers, so nothing is searched, and as JSON it costs a tenth of what another line does.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar, Token
from datetime import datetime
from types import MappingProxyType
from typing import Any, BinaryIO, Literal

import orjson
import structlog

from orchestrator.telemetry.redaction import HIDDEN, MAX_TEXT, escape, names_secret, redact_again, tellable

Style = Literal["json", "pretty"]
Fields = MutableMapping[str, Any]

_AS_Z = orjson.OPT_UTC_Z
_MAX_LINE = 65_536
"""Bytes of a line; a longer one keeps its start."""
_PLAIN = frozenset({int, float, bool, type(None)})
_SHORT, _SHORTEST_SECRET = 64, 11
"""Lengths: of texts that come again (an event, a type, a state), and below which no credential is recognised."""
_NOISY = ("uvicorn.access", "httpx2", "httpcore2", "httpx", "httpcore")
"""They log whole URLs, query strings included, once per request."""

_direct: Callable[[bytes], object] | None = None
"""Writes a finished line, when `configure` chose JSON and a level that shows information."""

_bound: ContextVar[Mapping[str, str]] = ContextVar("aurea_log_fields", default=MappingProxyType({}))


def configure(level: str = "INFO", style: Style | None = None, stream: BinaryIO | None = None) -> None:
    """Send all logging of this process to `stream` (stdout). Without a style: pretty on a terminal, else JSON."""
    out = stream if stream is not None else sys.stdout.buffer
    if style is None:
        style = "pretty" if out.isatty() else "json"
    before: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]
    after = [_gather, _render_json if style == "json" else _Pretty(colors=out.isatty())]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    global _direct
    shows = style == "json" and getattr(logging, level) <= logging.INFO
    _direct = _Turn(out).write if shows else None
    _route_standard_library(level)


class _Turn:
    """Writes the lines of one turn of the event loop at one go; any other line that is logged takes them along."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._is_due = False

    def write(self, line: bytes) -> None:
        self._out.write(line + b"\n")
        if not self._is_due:
            asyncio.get_running_loop().call_soon(self._flush)
            self._is_due = True

    def _flush(self) -> None:
        self._is_due = False
        self._out.flush()


def note(event: str, logger: str, at: datetime, **fields: str | int) -> None:
    """Log information whose fields hold nothing from outside: they are written as they are, within this turn of the
    event loop that has to run.
    """
    if _direct is None:
        structlog.get_logger(logger).info(event, **fields)
        return
    _direct(
        orjson.dumps(
            {"ts": at, "level": "info", "event": event, "logger": logger, **_bound.get(), **fields}, option=_AS_Z
        )
    )


def bind(**fields: str) -> Token[Mapping[str, str]]:
    """Add fields to every later line of this context (an asyncio task and what it starts), until `unbind`."""
    return _bound.set({**_bound.get(), **fields})


def unbind(token: Token[Mapping[str, str]]) -> None:
    _bound.reset(token)


def bound() -> Mapping[str, str]:
    """The fields bound in this context."""
    return _bound.get()


def _gather(logger: Any, _: str, fields: Fields) -> Fields:
    """Put the line in order, with the bound fields, and hide what is secret."""
    line = {
        "ts": fields.pop("ts"),
        "level": fields.pop("level"),
        "event": _checked(fields.pop("event")),
        "logger": fields.pop("logger", None) or getattr(logger, "name", None) or "aurea",
        **_bound.get(),
    }
    for key, value in fields.items():
        line[key] = HIDDEN if names_secret(key) else _checked(value)
    return line


def _checked(value: Any) -> Any:
    kind = type(value)
    if kind is str and len(value) <= _SHORT:
        return value if len(value) < _SHORTEST_SECRET else redact_again(value)
    return value if kind in _PLAIN else tellable(value)


def _render_json(_: Any, __: str, line: Fields) -> bytes:
    try:
        text = orjson.dumps(line)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        text = orjson.dumps(_encodable(tellable(line)))
    if len(text) > _MAX_LINE:
        start = {name: _encodable(tellable(line[name])) for name in ("ts", "level", "event", "logger")}
        text = orjson.dumps(start | {"cut": text[:MAX_TEXT].decode("utf-8", "ignore")})
    return text if text.isascii() and b"\x7f" not in text else escape(text.decode()).encode()


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return [_encodable(part) for part in value] if isinstance(value, list) else value


class _Pretty:
    """structlog's console text, as bytes. Tracebacks come ready made: rich ones would print local variables."""

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="ts")

    def __call__(self, logger: Any, name: str, line: Fields) -> bytes:
        traceback = str(line.pop("exception", "")).splitlines()
        line = {key: escape(value) if isinstance(value, str) else value for key, value in _encodable(line).items()}
        return "\n".join([str(self._render(logger, name, line)), *map(escape, traceback)]).encode()


class _Intake(logging.Handler):
    """Takes the standard library's records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(level, record.getMessage(), logger=record.name, **fields)


def _route_standard_library(level: str) -> None:
    root = logging.getLogger()
    root.handlers = [_Intake()]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", *_NOISY):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
