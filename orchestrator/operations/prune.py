"""Pruning: final tasks leave Postgres after their retention."""

from datetime import datetime

from orchestrator.runtime import Runtime

BATCH = 1_000


async def prune(runtime: Runtime, finished_before: datetime) -> int:
    """Delete at most BATCH final tasks and all that belongs to them, in one statement; return how many."""
    return await runtime.ledger.prune(finished_before, BATCH)
