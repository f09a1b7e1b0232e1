"""The chore that forgets deliveries: records of webhooks that have not come again for the retention."""

from orchestrator.operations.receive import BATCH, forget
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore


def chore(runtime: Runtime) -> Chore:
    async def tick() -> bool:
        return await forget(runtime) >= BATCH

    return Chore("forget_deliveries", 600.0, tick)
