"""Rebuilding: what Postgres knows and Redis does not is put back, in pages.

A page is safe while the queue stays at its epoch. Ids that Redis does not hold are read again from Postgres after
Redis was asked, so a task that ended in between is not found; and what is put back carries no epoch, so its worker
asks Postgres once more before it starts it. An emptied queue lacks what runs as well, until the workers have asserted
their leases: whoever asks names the epoch by which they had, and nothing is put back under another.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from orchestrator.domain.ids import TaskId, first_id
from orchestrator.queue.port import EpochMissing
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.rebuild")

PAGE = 2_000
_SETTLING = timedelta(seconds=3)
"""A submit that was committed this long ago has enqueued its task, or never will."""


async def mend_page(runtime: Runtime, after: TaskId, epoch: int) -> tuple[TaskId | None, int]:
    """Put back what is missing among the next page of live tasks.

    Returns where to go on, None at the end, and how many were put back. Raises EpochMissing as `mend` does.
    """
    ids = await runtime.ledger.live_ids(after, PAGE)
    mended = await mend(runtime, ids, epoch)
    return (ids[-1] if len(ids) == PAGE else None), mended


async def mend_fresh(runtime: Runtime, since: datetime, epoch: int) -> tuple[datetime, int]:
    """Look only at tasks created since a moment: those whose submit died between Postgres and Redis.

    Returns the moment to go on from, and how many were put back. Raises EpochMissing as `mend` does.
    """
    until = runtime.clock.now() - _SETTLING
    if until <= since:
        return since, 0
    ids = await runtime.ledger.fresh_ids(first_id(since), first_id(until))
    return until, await mend(runtime, ids, epoch)


async def mend(runtime: Runtime, ids: Sequence[TaskId], epoch: int) -> int:
    """Put back those of the ids that Redis lacks and Postgres still has as live; return how many.

    Raises EpochMissing, with nothing done, when the queue is not at this epoch any more.
    """
    missing = await runtime.queue.missing(ids) if ids else []
    if not missing:
        return 0
    # Asked behind `missing`: a queue that was emptied before it answered has another epoch now, or none.
    if await runtime.queue.epoch() != epoch:
        raise EpochMissing
    return await restore(runtime, missing)


async def restore(runtime: Runtime, ids: Sequence[TaskId]) -> int:
    """Put tasks that nobody holds in the queue as Postgres has them, if they are live; return how many."""
    if not ids:
        return 0
    queued = await runtime.queue.enqueue(await runtime.ledger.entries_of(ids))
    added = sum(answer is True for answer in queued)
    if added:
        runtime.metrics.requeued("rebuilt", added)
        _log.info("queue_mended", tasks=added)
    return added
