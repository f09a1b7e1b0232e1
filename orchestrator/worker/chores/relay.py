"""The chore that brings to Postgres what the outbox kept for it."""

from orchestrator.operations.relay import Relay
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore


def chore(runtime: Runtime) -> Chore:
    relay = Relay(runtime)

    async def tick() -> bool:
        return await relay.turn() > 0

    return Chore("relay", 1.0, tick)
