"""Entries, endings and what comes with them for tests of the queue, filled in where a test does not name it."""

import itertools
from typing import Any

from orchestrator.domain.ids import TaskId, Tenant, WorkerId, task_id
from orchestrator.domain.outbox import Acceptance, KeyHold, RecordKind, Waiting, Write
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import Claim, Entry, Settlement

STEP_US = 3_600_000_000
HOUR_US = 3_600_000_000
HOLD_MS = 60_000
ONE, TWO, SWEEPER = WorkerId("worker-1"), WorkerId("worker-2"), WorkerId("sweeper")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
_NUMBERS = itertools.count(1)


def entry(**given: Any) -> Entry:
    """An entry with a fresh id."""
    defaults: dict[str, Any] = {
        "id": task_id(1_760_000_000_000, next(_NUMBERS)),
        "tenant": Tenant("acme"),
        "type": "resize",
        "queue": "default",
        "priority": 5,
        "payload": b'{"url":"https://example.com/a.png"}',
        "max_retries": 6,
        "timeout_seconds": 900.0,
        "traceparent": TRACEPARENT,
    }
    return Entry(**(defaults | given))


def ending(claim: Claim, state: State = State.SUCCEEDED, **given: Any) -> Settlement:
    """What `decide` would make of it."""
    statuses = {
        State.SUCCEEDED: RunStatus.SUCCEEDED,
        State.QUEUED: RunStatus.RELEASED,
        State.EXPIRED: RunStatus.RELEASED,
    }
    defaults: dict[str, Any] = {
        "run_status": statuses.get(state, RunStatus.FAILED),
        "attempt": claim.attempt - (state is State.QUEUED),
        "crashes": claim.entry.crashes,
        "duration_us": 1000,
        "delay_us": HOUR_US if state is State.RETRYING else None,
    }
    return Settlement(claim, state, **(defaults | given))


def hold(name: str = "k", **given: Any) -> KeyHold:
    """A key that is held for a minute."""
    defaults: dict[str, Any] = {"fingerprint": b"\x01\xff", "hold_ms": HOLD_MS, "until_final": False}
    return KeyHold(name, **(defaults | given))


def acceptance(entry: Entry, key: KeyHold | None = None, withdrawal: bytes | None = None) -> Acceptance:
    return Acceptance(entry, record_of(entry.id, "insert"), key, withdrawal)


def write(claim: Claim, kind: RecordKind = RecordKind.START, **given: Any) -> Write:
    return Write(kind, claim.entry.id, claim.fence, record_of(claim.entry.id, kind.value), **given)


def record_of(task_id: TaskId, kind: str) -> bytes:
    return f"{kind} {task_id}".encode()


def placeless(waiting: Waiting) -> tuple[str, TaskId, int, str, bytes]:
    """A record of the outbox without its place."""
    return waiting.kind.value, waiting.task_id, waiting.fence, waiting.key, waiting.record
