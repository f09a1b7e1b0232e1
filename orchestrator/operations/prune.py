"""Pruning: final tasks leave Postgres after their retention, and the files of their artifacts leave the store."""

from datetime import datetime

from orchestrator.operations.tidy import remove
from orchestrator.runtime import Runtime

BATCH = 1_000


async def prune(runtime: Runtime, finished_before: datetime) -> int:
    """Delete at most BATCH final tasks and all that belongs to them, in one statement; return how many.

    Their files go after the commit: what a crash leaves of them is removed with the leftovers.
    """
    pruned = await runtime.ledger.prune(finished_before, BATCH)
    await remove(runtime, pruned.files)
    return pruned.tasks
