"""Daily: forget final tasks older than the retention, whatever a scheduler does."""

from datetime import timedelta

from orchestrator.operations.prune import BATCH, prune
from orchestrator.runtime import Runtime


async def run(runtime: Runtime) -> None:
    before = runtime.clock.now() - timedelta(days=runtime.limits.retention_days)
    while await prune(runtime, before) == BATCH:
        pass
