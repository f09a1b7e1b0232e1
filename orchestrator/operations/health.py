"""Health: whether each store answers, how fast, and what is wrong with it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.domain.errors import NotStarted, Unavailable
from orchestrator.runtime import Runtime


@dataclass(frozen=True, slots=True)
class DependencyHealth:
    name: str
    ok: bool
    """Whether it does its part; the detail of one that does is a warning."""
    latency_ms: float
    detail: str = ""


async def health(runtime: Runtime) -> list[DependencyHealth]:
    """Ask both stores at once; answers within about two seconds whatever is down."""
    return list(
        await asyncio.gather(
            _probe(runtime, "postgres", lambda: _postgres(runtime)), _probe(runtime, "redis", lambda: _redis(runtime))
        )
    )


def accepts_work(found: list[DependencyHealth]) -> bool:
    """Either store keeps new tasks while the other is away."""
    return any(dependency.ok for dependency in found)


async def _postgres(runtime: Runtime) -> tuple[bool, str]:
    await runtime.ledger.ping()
    return True, ""


async def _redis(runtime: Runtime) -> tuple[bool, str]:
    facts = await runtime.redis.facts()
    return not facts.mends, facts.mends or facts.loses


async def _probe(runtime: Runtime, name: str, ask: Callable[[], Awaitable[tuple[bool, str]]]) -> DependencyHealth:
    began = runtime.clock.monotonic()
    try:
        ok, detail = await ask()
    except Unavailable as away:
        ok = False
        match away.__cause__:
            case TimeoutError():
                detail = "it does not answer"
            case NotStarted() as reason:
                detail = str(reason)
            case _:
                detail = "it cannot be used now"
    return DependencyHealth(name, ok, round((runtime.clock.monotonic() - began) * 1000, 2), detail)
