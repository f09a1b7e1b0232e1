"""Tidying the store of artifacts: in the end no file stays there that no row names.

A file is written before its row and removed after it. So what a crash or an outage leaves is a file without a row: a
leftover.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from orchestrator.domain.artifact import BUCKETS, FileKey
from orchestrator.domain.errors import StoreRefused, Unavailable
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.tidy")


async def remove(runtime: Runtime, files: Sequence[FileKey]) -> None:
    """Delete files that no row names any more; what the store does not delete now becomes a leftover."""
    if not files:
        return
    try:
        await runtime.artifacts.delete(files)
    except (Unavailable, StoreRefused) as error:
        _log.warning("files_left", count=len(files), reason=str(error))


async def remove_leftovers(runtime: Runtime) -> int:
    """Go through the whole store and delete the files that nobody names and nobody ever will; return how many.

    Files of tasks that are not known go when the retention has passed since their task was made: until then they may
    belong to a system that shares the store by mistake, and later that one has forgotten the task as well.
    """
    if await runtime.queue.outbox_depth():
        return 0  # tasks may wait there that Postgres does not know yet
    made_before = runtime.clock.now() - timedelta(days=runtime.limits.retention_days)
    deleted = 0
    for bucket in BUCKETS:
        async for files in runtime.artifacts.files(bucket):
            left = await runtime.ledger.leftovers(files, made_before) if files else []
            if left:
                await runtime.artifacts.delete(left)
            deleted += len(left)
    return deleted
