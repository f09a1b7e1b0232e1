"""What is said of one event of a task: on one line for a pipe, in colour for a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from rich.text import Text

from app.cli.screen import indented, plain, status_text

LEVEL_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "red", "critical": "bold red"}


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a task's sequence; `data` is any JSON value."""

    id: str
    kind: str
    data: Any
    at: str = ""
    """Known of events read from the history, not of live ones."""


def as_line(event: TaskEvent) -> str:
    """Return what a pipe gets of an event: its time if known, its kind and its words, with tabs between."""
    return "\t".join(part for part in (event.at, event.kind, _words(event)) if part)


def in_colour(event: TaskEvent) -> Text:
    """Return what a person sees of an event."""
    return Text.assemble((f"{event.at[11:19]} " if event.at else "", "dim"), _painted(event))


def text_of(data: Any) -> str:
    return str(data.get("text") or "") if isinstance(data, Mapping) else str(data)


def starts_anew(data: Any) -> bool:
    """Whether a token drops the text before it: another model begins."""
    return isinstance(data, Mapping) and data.get("reset") is True


def _words(event: TaskEvent) -> str:
    data = event.data
    match event.kind:
        case "status":
            text = _standing(data)
        case "log":
            text = f"{_level_of(data)} {text_of(data)} {_fields_of(data)}"
        case "progress":
            text = f"{data['fraction']:.0%} {text_of(data)}"
        case "token":
            text = text_of(data)
        case "end":
            text = f"{data['status']} {_error_of(data)}"
        case _:
            text = orjson.dumps(data).decode()
    return plain(text).replace("\n", " ").replace("\t", " ").strip()


def _painted(event: TaskEvent) -> Text:
    data = event.data
    match event.kind:
        case "status":
            return Text.assemble("● ", status_text(data["status"]), plain(_standing(data)[len(data["status"]) :]))
        case "log":
            level = _level_of(data)
            name = Text(f"{plain(level):<8}", style=LEVEL_STYLES.get(level, ""))
            return Text.assemble("  ", name, plain(text_of(data)), "  ", (plain(_fields_of(data)), "dim"))
        case "result":
            return Text(indented(data))
        case "end":
            return Text.assemble("■ ", status_text(data["status"]), " ", (plain(_error_of(data)), "red"))
        case _:
            return Text(plain(data))


def _standing(data: Mapping[str, Any]) -> str:
    return f"{data['status']}, attempt {data['attempt']}" if data.get("attempt") else str(data["status"])


def _level_of(data: Mapping[str, Any]) -> str:
    """The field `level`, as in `ctx.log("slow", level="warning")`."""
    return str(data["fields"].get("level", "info"))


def _fields_of(data: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in data["fields"].items() if name != "level")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _error_of(data: Mapping[str, Any]) -> str:
    error = data.get("error")
    return f"{error['type']}: {error['message']}" if error else ""
