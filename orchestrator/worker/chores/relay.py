"""The chore that brings to Postgres what the outbox kept for it."""

import asyncio

from orchestrator.operations.relay import Relay
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore

_LULL_SECONDS = 0.05
_LULLS = 40
"""So often it looks again at once: while records come, and processes wait to go back to Postgres."""


def chore(runtime: Runtime) -> Chore:
    relay = Relay(runtime)

    async def tick() -> bool:
        if not await relay.turn():
            return False
        for _ in range(_LULLS):
            await asyncio.sleep(_LULL_SECONDS)
            if await relay.turn():
                return True
        return False

    return Chore("relay", 1.0, tick)
