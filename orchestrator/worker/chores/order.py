"""Chores that keep the queue moving: due tasks in, expired leases back, popped ids back, too-late tasks out."""

from orchestrator.domain.ids import WorkerId
from orchestrator.operations import sweep
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore


def chores(runtime: Runtime, sweeper: WorkerId) -> list[Chore]:
    async def promote() -> bool:
        return await sweep.promote(runtime) >= sweep.BATCH

    async def take_back() -> bool:
        return await sweep.take_back(runtime, sweeper) >= sweep.BATCH

    async def put_back() -> bool:
        return await sweep.put_back(runtime) >= sweep.BATCH

    async def expire() -> bool:
        return await sweep.expire(runtime) >= sweep.BATCH

    return [
        Chore("promote", 1.0, promote),
        Chore("take_back", 1.0, take_back),
        Chore("put_back", 1.0, put_back),
        Chore("expire", 1.0, expire),
    ]
