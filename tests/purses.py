"""A purse for tests that spend without a worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.domain.task import Claim
from orchestrator.operations.purse import Purse
from orchestrator.operations.record import start
from orchestrator.runtime import Runtime


@asynccontextmanager
async def opened(runtime: Runtime) -> AsyncIterator[Purse]:
    async def started(claim: Claim) -> bool:
        return claim.entry.id in await start(runtime, claim.worker, [claim])

    purse = Purse(runtime, started)
    purse.start()
    try:
        yield purse
    finally:
        await purse.stop()
