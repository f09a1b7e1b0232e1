"""Throttling: a request passes while none of its rates is used up, counted over all processes.

Without Redis, or with a slow one, each process counts alone: with N of them up to N times as much passes until it is
back. What a rate refused is refused without asking Redis again until its time has come, so a flood costs nothing but
this process.
"""

import asyncio
from collections.abc import Sequence

from orchestrator.domain.errors import RateLimited, Unavailable
from orchestrator.domain.rate import Rate, Verdict
from orchestrator.operations.standby import leave
from orchestrator.runtime import Runtime

_PATIENCE_SECONDS = 0.25
_ALONE_US = 2_000_000
"""How long a slow Redis is left in peace."""


async def throttle(runtime: Runtime, rates: Sequence[Rate]) -> list[Verdict]:
    """Count a request against its rates and say how they stand. Raises RateLimited; it counts against none then."""
    now_us = int(runtime.clock.monotonic() * 1e6)
    closed = [Verdict(0, 0, runtime.meter.closed_for_us(rate, now_us)) for rate in rates]
    if any(verdict.retry_us for verdict in closed):
        raise _refusal(rates, closed)
    passes, verdicts = await _judged(runtime, rates, now_us)
    if not passes:
        runtime.meter.close(rates, verdicts, now_us)
        raise _refusal(rates, verdicts)
    return verdicts


async def _judged(runtime: Runtime, rates: Sequence[Rate], now_us: int) -> tuple[bool, list[Verdict]]:
    redis = runtime.standby.redis
    if not redis.away and now_us >= runtime.meter.alone_until_us:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await runtime.rates.admit(rates)
        except Unavailable as away:
            leave(runtime, redis, away)
        except TimeoutError:  # too slow to be asked before each request, though perhaps not away
            runtime.meter.alone_until_us = now_us + _ALONE_US
    return runtime.meter.admit(rates, now_us)


def _refusal(rates: Sequence[Rate], verdicts: Sequence[Verdict]) -> RateLimited:
    rate, verdict = max(zip(rates, verdicts, strict=True), key=lambda pair: pair[1].retry_us)
    return RateLimited(rate.name, rate.per_minute, -(-verdict.retry_us // 1_000_000))
