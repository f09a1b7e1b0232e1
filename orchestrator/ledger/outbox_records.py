"""Records: one write as bytes, on its way through the outbox, and back.

A record is one line of JSON, then the raw JSON values that only travel through, end to end: nothing here parses a
payload or a result. A field that has its usual value is left out, and one that is not known is passed over, so
neighbouring versions read each other's records. Times are microseconds since 1970.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import orjson

from orchestrator.domain.audit import Line, document, read_line
from orchestrator.domain.delivery import Arrival
from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import Fence, TaskId, Tenant, WorkerId
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import DEFAULT_QUEUE, Claim, Entry, NewTask, Settlement, TaskError

T = TypeVar("T")
_Line = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Withdrawal(NamedTuple):
    """A row that is taken back: its task was never accepted, another with the same key was."""

    task_id: TaskId
    holder: TaskId | None
    """The other, where it is known."""


@dataclass(frozen=True, slots=True)
class Step:
    """The JSON result of a finished step."""

    claim: Claim
    name: str
    result: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """What can be told of an ending that Postgres does not have yet."""

    state: State
    result: bytes | None
    error: dict[str, Any] | None
    attempt: int
    finished_at: datetime
    worker: WorkerId


Written = NewTask | Withdrawal | Claim | Told | Step | Settlement | Line


def inserted(task: NewTask) -> bytes:
    rare = {
        "idempotency_key": task.idempotency_key,
        "key_until_final": task.key_until_final or None,
        "key_expires_us": _us(task.key_expires_at),
        "run_us": _us(task.run_at),
        "expires_us": _us(task.expires_at),
        "tags": task.tags or None,
        "parent_id": task.parent_id,
        "always": task.always or None,
        "called": task.called or None,
        "arrival": task.arrival,
        "callback_url": task.callback_url,
    }
    line = {
        "id": task.id,
        "tenant": task.tenant,
        "type": task.type,
        "queue": task.queue,
        "priority": task.priority,
        "max_retries": task.max_retries,
        "timeout_seconds": task.timeout_seconds,
        "fingerprint": task.fingerprint.hex(),
        "created_us": _us(task.created_at),
        "traceparent": task.traceparent,
    } | {name: value for name, value in rare.items() if value is not None}
    return _record(line, task.payload)


def withdrawn(task_id: TaskId, holder: TaskId | None = None) -> bytes:
    """Whoever learns the holder only later appends its id to the record."""
    return _record({"id": task_id}, b"" if holder is None else holder.encode())


def started(claim: Claim) -> bytes:
    return _record(_claim_line(claim))


def told(event: Told) -> bytes:
    line = {
        "id": event.task_id,
        "tenant": event.tenant,
        "fence": event.fence,
        "number": event.number,
        "kind": event.kind,
        "at_us": _us(event.at),
    }
    return _record(line, event.data)


def step(claim: Claim, name: str, result: bytes) -> bytes:
    return _record(_claim_line(claim) | {"name": name}, result)


def settled(ending: Settlement) -> bytes:
    line = _claim_line(ending.claim) | {
        "state": ending.state,
        "run_status": ending.run_status,
        "counted": ending.attempt,
        "crashes": ending.crashes,
        "duration_us": ending.duration_us,
        "delay_us": ending.delay_us,
        "error": ending.error,
        "result_bytes": None if ending.result is None else len(ending.result),
        "progress_bytes": None if ending.progress is None else len(ending.progress),
    }
    return _record(line, ending.result or b"", ending.progress or b"")


def audited(line: Line) -> bytes:
    return _record(document(line))


def decode(kind: RecordKind, record: bytes) -> Written:
    """Return what a record writes; its claim has what a write needs, and no payload. Raises ValueError."""
    return _read(record, _READERS[kind])


def read_inserted(record: bytes) -> NewTask:
    """Return the task that an insert record stores. Raises ValueError."""
    return _read(record, _task)


def read_settled(record: bytes) -> Settled:
    """Return what a settle record says of its task. Raises ValueError."""
    ending = _read(record, _settlement)
    error = None if ending.error is None else asdict(ending.error)
    ended_at = _at(ending.claim.claimed_at_us + ending.duration_us)
    return Settled(ending.state, ending.result, error, ending.attempt, ended_at, ending.claim.worker)


def _read(record: bytes, reader: Callable[[_Line, bytes], T]) -> T:
    head, _, values = record.partition(b"\n")
    try:
        return reader(orjson.loads(head), values)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"the record cannot be read: {error!r}") from error


def _record(line: _Line, *values: bytes) -> bytes:
    return b"\n".join((orjson.dumps(line), b"".join(values)))


def _claim_line(claim: Claim) -> _Line:
    line = {
        "id": claim.entry.id,
        "tenant": claim.entry.tenant,
        "type": claim.entry.type,
        "fence": claim.fence,
        "attempt": claim.attempt,
        "worker": claim.worker,
        "claimed_us": claim.claimed_at_us,
    }
    return line if claim.lost is None else line | {"lost": claim.lost}


def _claim(line: _Line) -> Claim:
    entry = Entry(line["id"], line["tenant"], line["type"], DEFAULT_QUEUE, 0, b"null", 0, 0.0, "")
    return Claim(
        entry,
        Fence(line["fence"]),
        line["attempt"],
        WorkerId(line["worker"]),
        line["claimed_us"],
        waited_us=0,
        settled_epoch=True,
        lost=line.get("lost"),
    )


def _task(line: _Line, payload: bytes) -> NewTask:
    return NewTask(
        line["id"],
        Tenant(line["tenant"]),
        line["type"],
        payload,
        bytes.fromhex(line["fingerprint"]),
        _at(line["created_us"]),
        line["traceparent"],
        line["queue"],
        line["priority"],
        line["max_retries"],
        line["timeout_seconds"],
        line.get("idempotency_key"),
        line.get("key_until_final", False),
        _at_or_none(line.get("key_expires_us")),
        _at_or_none(line.get("run_us")),
        _at_or_none(line.get("expires_us")),
        line.get("tags", {}),
        line.get("parent_id"),
        line.get("always", False),
        called=line.get("called", False),
        arrival=_arrival(line.get("arrival")),
        callback_url=line.get("callback_url"),
    )


def _arrival(line: _Line | None) -> Arrival | None:
    if line is None:
        return None
    return Arrival(line["source"], line["delivery_id"], line["event"], line["scheme"], line["secret"])


def _event(line: _Line, values: bytes) -> Told:
    fence, kind = Fence(line["fence"]), EventKind(line["kind"])
    return Told(line["id"], Tenant(line["tenant"]), fence, line["number"], kind, values, _at(line["at_us"]))


def _settlement(line: _Line, values: bytes) -> Settlement:
    result_bytes, progress_bytes = line["result_bytes"], line["progress_bytes"]
    split = result_bytes or 0
    if split + (progress_bytes or 0) != len(values):
        raise ValueError(f"{len(values)} bytes of values")
    return Settlement(
        _claim(line),
        State(line["state"]),
        None if line["run_status"] is None else RunStatus(line["run_status"]),
        line["counted"],
        line["crashes"],
        line["duration_us"],
        line["delay_us"],
        None if result_bytes is None else values[:split],
        None if line["error"] is None else TaskError(**line["error"]),
        None if progress_bytes is None else values[split:],
    )


_READERS: dict[RecordKind, Callable[[_Line, bytes], Written]] = {
    RecordKind.INSERT: _task,
    RecordKind.WITHDRAW: lambda line, values: Withdrawal(line["id"], TaskId(values.decode()) or None),
    RecordKind.START: lambda line, _: _claim(line),
    RecordKind.TELL: _event,
    RecordKind.STEP: lambda line, values: Step(_claim(line), line["name"], values),
    RecordKind.SETTLE: _settlement,
    RecordKind.AUDIT: lambda line, _: read_line(line),
}


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def _at(unix_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=unix_us)


def _at_or_none(unix_us: int | None) -> datetime | None:
    return None if unix_us is None else _at(unix_us)
