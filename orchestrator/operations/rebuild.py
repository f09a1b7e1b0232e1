"""Rebuilding: what Postgres knows and Redis does not is put back, in pages.

A page is safe at any time: ids that Redis does not hold are read again from Postgres after Redis was asked, so a
task that ended in between is not found; and what is put back carries no epoch, so its worker asks Postgres once
more before it starts it.
"""

from datetime import datetime, timedelta

import structlog

from orchestrator.domain.ids import TaskId, task_id
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.rebuild")

PAGE = 2_000
_SETTLING = timedelta(seconds=3)
"""A submit that was committed this long ago has enqueued its task, or never will."""

BEGINNING = TaskId("00000000-0000-0000-0000-000000000000")


async def mend_page(runtime: Runtime, after: TaskId) -> tuple[TaskId | None, int]:
    """Put back what is missing among the next page of live tasks.

    Returns where to go on, None at the end, and how many were put back.
    """
    ids = await runtime.ledger.live_ids(after, PAGE)
    mended = await mend(runtime, ids)
    return (ids[-1] if len(ids) == PAGE else None), mended


async def mend_fresh(runtime: Runtime, since: datetime) -> tuple[datetime, int]:
    """Look only at tasks created since a moment: those whose submit died between Postgres and Redis."""
    until = runtime.clock.now() - _SETTLING
    if until <= since:
        return since, 0
    ids = await runtime.ledger.fresh_ids(_first_id(since), _first_id(until))
    return until, await mend(runtime, ids)


async def mend(runtime: Runtime, ids: list[TaskId]) -> int:
    """Put back those of the ids that Redis lacks and Postgres still has as live; return how many."""
    missing = await runtime.queue.missing(ids) if ids else []
    if not missing:
        return 0
    added = sum(await runtime.queue.enqueue(await runtime.ledger.entries_of(missing)))
    if added:
        runtime.metrics.requeued("rebuilt", added)
        _log.info("queue_mended", tasks=added)
    return added


async def remember_pauses(runtime: Runtime) -> None:
    """Pause again what Postgres knows as paused."""
    for queue in await runtime.ledger.paused_queues():
        await runtime.queue.pause(queue)


def _first_id(at: datetime) -> TaskId:
    return task_id(int(at.timestamp() * 1000), 0)
