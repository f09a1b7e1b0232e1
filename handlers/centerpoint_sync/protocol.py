"""The lines that a script and its worker exchange: one JSON object each, told apart by `type`.

A line of the script that is none of these is output. To the script go `start`, once and first, and `kept` for each of
its checkpoints.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from handlers.centerpoint_sync.endings import ProtocolBroken


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Log(_Line):
    """A line for the log."""

    type: Literal["log"]
    text: str
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    fields: dict[str, Any] = {}


class Progress(_Line):
    """How far it is."""

    type: Literal["progress"]
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    text: str = ""


class Checkpoint(_Line):
    """Everything before this is done: a retry starts with this state."""

    type: Literal["checkpoint"]
    state: Any


class Result(_Line):
    """What the task comes to; the last one counts."""

    type: Literal["result"]
    value: Any


class Failure(_Line):
    """The script gives up, and says whether another attempt can help."""

    type: Literal["failure"]
    message: Annotated[str, Field(min_length=1)]
    retry: bool = True
    after_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


Message = Log | Progress | Checkpoint | Result | Failure
TYPES = frozenset({"log", "progress", "checkpoint", "result", "failure"})

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


class Unusable(ValueError):
    """A line for a reader only: the run goes on without it."""


def is_message(value: Any) -> bool:
    """Whether a JSON value wants to be a line of the protocol."""
    return isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] in TYPES


def read_message(value: dict[str, Any], number: int) -> Message:
    """Return the message in line `number`.

    One that does not fit raises ProtocolBroken if the outcome hangs on it, and Unusable if it was only to be told.
    """
    try:
        return _MESSAGE.validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, found["loc"][1:])) or "it"
        complaint = f"line {number} is no {value['type']}: {where}: {found['msg']}"
        raise Unusable(complaint) if value["type"] in ("log", "progress") else ProtocolBroken(complaint) from None


def start_line(task_id: str, attempt: int, given: Any, checkpoint: Any) -> bytes:
    line = {"type": "start", "task_id": task_id, "attempt": attempt, "input": given, "checkpoint": checkpoint}
    return orjson.dumps(line) + b"\n"


def kept_line(number: int) -> bytes:
    """Say that the script's `number`-th checkpoint of this run is kept."""
    return orjson.dumps({"type": "kept", "number": number}) + b"\n"
