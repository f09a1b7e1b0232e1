"""Health: whether each store answers, how fast, and whether work can be accepted."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from orchestrator.domain.errors import Unavailable
from orchestrator.runtime import Runtime

_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class DependencyHealth:
    name: str
    ok: bool
    latency_ms: float
    detail: str = ""


async def health(runtime: Runtime) -> list[DependencyHealth]:
    """Ask every store at once; answers within about two seconds whatever is down."""
    return list(
        await asyncio.gather(
            _probe(runtime, "postgres", runtime.ledger.ping()), _probe(runtime, "redis", runtime.queue.ping())
        )
    )


async def _probe(runtime: Runtime, name: str, answer: Awaitable[None]) -> DependencyHealth:
    began = runtime.clock.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await answer
    except (Unavailable, TimeoutError) as error:
        return DependencyHealth(name, False, _ms_since(runtime, began), str(error) or "it did not answer in time")
    return DependencyHealth(name, True, _ms_since(runtime, began))


def _ms_since(runtime: Runtime, began: float) -> float:
    return round((runtime.clock.monotonic() - began) * 1000, 2)
