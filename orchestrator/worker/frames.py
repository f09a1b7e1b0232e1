"""What a worker and the child process of a handler say to each other: JSON objects, each behind its length.

`start` goes to the child first. `tell` comes back without an answer; what the child asks for (`load`, `save`, `begin`,
`submit`, `take_lock`, ...) is answered under its number; `outcome` or `lost` is the last.
"""

import asyncio
from typing import Any

import orjson
from pydantic import TypeAdapter

from orchestrator.domain.outcome import Failed, Parked, Succeeded
from orchestrator.domain.steps import Step, Wait
from orchestrator.domain.task import Claim, Entry, TaskError

_LENGTH_BYTES = 4
MOST_BYTES = 256 * 2**20
"""A longer frame is taken for the end: the other side has gone mad."""

Frame = dict[str, Any]


def write_frame(writer: asyncio.StreamWriter, frame: Frame) -> None:
    """Put a frame on its way; bytes inside it are text to JSON."""
    encoded = orjson.dumps(frame, default=bytes.decode)
    writer.write(len(encoded).to_bytes(_LENGTH_BYTES) + encoded)


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Return the next frame, or None when the other side is gone."""
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
        if length > MOST_BYTES:
            return None
        frame: Frame = orjson.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError, orjson.JSONDecodeError):
        return None
    return frame


_WAITS = TypeAdapter(Wait)
_STEPS = TypeAdapter(dict[str, Step])
_STEP_LISTS = TypeAdapter(list[Step])


def read_steps(sent: Frame) -> dict[str, Step]:
    return _STEPS.validate_python(sent)


def read_step_list(sent: list[Any]) -> list[Step]:
    return _STEP_LISTS.validate_python(sent)


def read_claim(sent: Frame) -> Claim:
    entry = sent["entry"]
    return Claim(**{**sent, "entry": Entry(**{**entry, "payload": entry["payload"].encode()})})


def outcome_frame(outcome: Succeeded | Failed | Parked) -> Frame:
    match outcome:
        case Parked(wait):
            return {"op": "outcome", "parked": wait}
        case Succeeded(result):
            return {"op": "outcome", "result": result}
        case Failed(error, after):
            return {"op": "outcome", "error": error, "after": after}


def read_outcome(sent: Frame) -> Succeeded | Failed | Parked:
    if "parked" in sent:
        return Parked(_WAITS.validate_python(sent["parked"]))
    if "result" in sent:
        return Succeeded(sent["result"].encode())
    return Failed(TaskError(**sent["error"]), sent["after"])
