"""Health: whether each store answers, how fast, and whether work can be accepted."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

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


async def _probe(runtime: Runtime, name: str, asking: Coroutine[Any, Any, None]) -> DependencyHealth:
    began = runtime.clock.monotonic()
    asked = asyncio.create_task(asking)
    try:
        answered, _ = await asyncio.wait([asked], timeout=_PATIENCE_SECONDS)
    finally:
        # Not awaited: a question to a frozen Postgres ends long after it was cancelled.
        asked.add_done_callback(_forget)
        asked.cancel()
    if not answered:
        return DependencyHealth(name, False, _ms_since(runtime, began), "it did not answer in time")
    try:
        asked.result()
    except Unavailable as error:
        return DependencyHealth(name, False, _ms_since(runtime, began), str(error))
    return DependencyHealth(name, True, _ms_since(runtime, began))


def _forget(asked: asyncio.Task[None]) -> None:
    """Take the error of a question that nobody waits for, which asyncio would complain about."""
    if not asked.cancelled():
        asked.exception()


def _ms_since(runtime: Runtime, began: float) -> float:
    return round((runtime.clock.monotonic() - began) * 1000, 2)
