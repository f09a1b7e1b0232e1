"""The chores of money: what vanished attempts had reserved is given back, and old usage is forgotten."""

from datetime import timedelta

from orchestrator.operations import budget
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore


def chores(runtime: Runtime) -> list[Chore]:
    async def release_dead() -> bool:
        return await budget.release_dead(runtime) >= budget.BATCH

    async def forget() -> bool:
        before = runtime.clock.now().date() - timedelta(days=runtime.limits.retention_days)
        return await budget.forget(runtime, before) >= budget.BATCH

    return [Chore("release_dead", 5.0, release_dead), Chore("forget_usage", 600.0, forget)]
