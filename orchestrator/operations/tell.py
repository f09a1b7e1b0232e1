"""Telling: what a handler says becomes history first, then live news."""

from collections.abc import Sequence

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.events import Told
from orchestrator.operations.patience import patiently
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.tell")


async def tell(runtime: Runtime, events: Sequence[Told]) -> None:
    """Commit the events and publish them. One whose fence is stale is dropped and counted.

    When Redis is away after the commit the news are not published: listeners notice, and read history.
    """
    accepted = await patiently(runtime.clock, lambda: runtime.ledger.tell(events))
    kept = [event for event, fresh in zip(events, accepted, strict=True) if fresh]
    if len(kept) < len(events):
        runtime.metrics.lease_lost(len(events) - len(kept))
    if not kept:
        return
    try:
        await runtime.feed.tell(kept)
    except Unavailable as away:
        _log.warning("news_not_published", events=len(kept), reason=str(away))
