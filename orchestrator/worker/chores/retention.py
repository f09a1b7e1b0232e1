"""The chore that forgets: final tasks older than the retention go, with their runs, events and steps."""

from datetime import timedelta

from orchestrator.operations.prune import BATCH, prune
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore


def chore(runtime: Runtime) -> Chore:
    async def tick() -> bool:
        before = runtime.clock.now() - timedelta(days=runtime.limits.retention_days)
        return await prune(runtime, before) >= BATCH

    return Chore("retention", 600.0, tick)
