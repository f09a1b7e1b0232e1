"""Announcing: what is still to be told of endings becomes deliveries, tasks like any other.

A note is removed after its delivery is kept. Whoever dies between the two leaves the note; it is read again, and the
delivery's idempotency key finds the one that is there. So a recipient has one delivery for one ending. A note that is
sealed under a key which this process lacks stays until somebody has it, and holds up none behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import structlog

from orchestrator import crash
from orchestrator.domain.errors import SealKeyMissing
from orchestrator.domain.ids import TaskId
from orchestrator.domain.subscription import DELIVER, Callback
from orchestrator.domain.task import NewTask
from orchestrator.operations.keep import keep
from orchestrator.operations.request import Origin, TaskRequest, accept
from orchestrator.operations.seal import open_ending, seal_task
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.announce")

BATCH = 200
AGAIN_SECONDS = 30.0
"""How long a note is left alone that could not be read."""
_MOST_PAYLOAD_BYTES = 1_000_000
"""More than the parts of an event come to, each of which has a bound; what the door takes in may be less."""


@dataclass(slots=True)
class Passed:
    """How far notes were passed over because they cannot be read here."""

    last: int = 0
    """The note behind which to read on."""
    until: float = 0.0
    """From when on, by the monotonic clock, the end of them leads back to the oldest."""


async def announce(runtime: Runtime, passed: Passed) -> int:
    """Make deliveries of the oldest notes that were not passed over, and pass over those that cannot be read.

    Returns how many notes were looked at. Raises Unavailable with nothing lost.
    """
    notes = await runtime.ledger.callbacks(passed.last, BATCH)
    made, missing = _deliveries(runtime, notes)
    if made:
        await keep(runtime, list(made.values()), _at_once)
        crash.at("announced")
        await runtime.ledger.forget_callbacks(list(made))
    if missing:
        passed.last = notes[-1].id
        _log.warning("notes_unreadable", notes=len(notes) - len(made), reasons=sorted(missing))
    now = runtime.clock.monotonic()
    if len(notes) < BATCH and now >= passed.until:
        passed.last, passed.until = 0, now + AGAIN_SECONDS
    return len(notes)


async def report_disabled(runtime: Runtime) -> None:
    """Tell people, once, of each subscription that its endpoint's answers disabled."""
    for found in await runtime.ledger.unreported():
        _log.error("subscription_disabled", subscription_id=found.id, tenant=found.tenant, reason=found.reason)


def event_payload(
    event_id: str, kind: str, at: datetime, data: dict[str, Any], subscription: str | None, url: str | None
) -> dict[str, Any]:
    """Return the payload of a delivery: to a subscription, or to a URL."""
    event = {"id": event_id, "type": kind, "timestamp": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", "data": data}
    return {"subscription": subscription, "url": url, "event": event}


def delivery_request(payload: dict[str, Any], task_id: TaskId | None = None, key: str | None = None) -> TaskRequest:
    """Return what asks for a delivery; its tags find it again: by whom it is for, and by the task it tells of."""
    tags = {"subscription": payload["subscription"] or "callback"}
    if task_id is not None:
        tags["task"] = task_id
    return TaskRequest(type=DELIVER, payload=payload, idempotency_key=key, tags=tags)


def _deliveries(runtime: Runtime, notes: Sequence[Callback]) -> tuple[dict[int, NewTask], set[str]]:
    """What becomes of those that can be read, by their ids; and which keys the others lack."""
    made: dict[int, NewTask] = {}
    missing = set()
    for note in notes:
        try:
            made[note.id] = _delivery(runtime, note)
        except SealKeyMissing as error:
            missing.add(str(error))
    return made, missing


def _delivery(runtime: Runtime, note: Callback) -> NewTask:
    told = orjson.loads(note.told)
    told["result"] = None if note.result is None else orjson.loads(note.result)
    data = open_ending(runtime, note.tenant, note.task_id, told)
    kind = f"task.{note.status.value}"
    payload = event_payload(note.event_id, kind, note.ended_at, data, note.subscription_id, note.url)
    origin = Origin(note.tenant, note.traceparent, most_payload_bytes=_MOST_PAYLOAD_BYTES, always=True, own=True)
    return seal_task(runtime, accept(runtime, delivery_request(payload, note.task_id, note.key), origin))


async def _at_once() -> None:
    """Deliveries wait for nobody's turn in the queue."""
