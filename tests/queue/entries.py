"""Entries and endings for tests of the queue, with everything filled in that a test does not name."""

import itertools
from typing import Any

from orchestrator.domain.ids import Tenant, WorkerId, task_id
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
