"""The chore that makes deliveries of what is still to be told, and says which subscriptions were disabled."""

from orchestrator.operations.announce import BATCH, Passed, announce, report_disabled
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore


def chore(runtime: Runtime) -> Chore:
    passed = Passed()

    async def tick() -> bool:
        await report_disabled(runtime)
        return await announce(runtime, passed) >= BATCH

    return Chore("callbacks", 1.0, tick)
