"""Daily: forget final tasks older than the retention, whatever a scheduler does, and log how many they were."""

from datetime import timedelta

import structlog

from orchestrator.operations.prune import BATCH, prune
from orchestrator.operations.receive import BATCH as FORGOTTEN_AT_ONCE
from orchestrator.operations.receive import forget
from orchestrator.runtime import Runtime

_log = structlog.get_logger("cron.prune")


async def run(runtime: Runtime) -> None:
    before = runtime.clock.now() - timedelta(days=runtime.limits.retention_days)
    pruned = batch = await prune(runtime, before)
    while batch == BATCH:
        batch = await prune(runtime, before)
        pruned += batch
    while await forget(runtime) == FORGOTTEN_AT_ONCE:
        pass
    _log.info("pruned", tasks=pruned, retention_days=runtime.limits.retention_days)
