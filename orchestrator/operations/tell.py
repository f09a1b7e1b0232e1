"""Telling: what a handler says becomes history first, then live news."""

from collections.abc import Sequence

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.events import Told
from orchestrator.domain.ids import WorkerId
from orchestrator.domain.outbox import RecordKind, Write
from orchestrator.ledger import outbox_records
from orchestrator.operations.record import record
from orchestrator.operations.seal import seal_told
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.tell")


async def tell(runtime: Runtime, worker: WorkerId, events: Sequence[Told]) -> None:
    """Keep the events and publish them. One whose fence is stale is dropped and counted.

    When Redis is away after the commit the news are not published: listeners notice, and read history.
    """

    events = [seal_told(runtime, event) for event in events]

    def write(place: int) -> Write:
        event = events[place]
        return Write(RecordKind.TELL, event.task_id, event.fence, outbox_records.told(event))

    ids = [event.task_id for event in events]
    accepted = await record(runtime, worker, ids, lambda: runtime.ledger.tell(events), write)
    kept = [event for event, fresh in zip(events, accepted, strict=True) if fresh]
    if len(kept) < len(events):
        runtime.metrics.lease_lost(len(events) - len(kept))
    if not kept:
        return
    try:
        await runtime.feed.tell(kept)
    except Unavailable as away:
        _log.warning("news_not_published", events=len(kept), reason=str(away))
