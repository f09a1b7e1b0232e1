"""Counting: what this process counted goes to Redis, where one scrape finds the whole system's figures."""

import asyncio
from contextlib import suppress

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.money import to_usd
from orchestrator.runtime import Runtime
from orchestrator.telemetry.metrics import STORED, Gauges

_EVERY_SECONDS = 1.0


async def scrape(runtime: Runtime) -> bytes:
    """Return every metric of every process as Prometheus text. Raises Unavailable."""
    from orchestrator.telemetry.exposition import render  # loads what only the API needs, in 10 ms

    await flush(runtime)
    stored = {metric.family: await runtime.counters.read(metric.family) for metric in STORED}
    queues = await runtime.queue.queues()
    gauges = Gauges(
        queue_depth={figures.name: figures.depth for figures in queues},
        queue_oldest_age_seconds={figures.name: figures.oldest_us / 1e6 for figures in queues},
        tasks_running=sum(figures.running for figures in queues),
        workers=len(await runtime.presence.workers()),
        dead_letters=await _dead_letters(runtime),
        outbox_depth=await runtime.queue.outbox_depth(),
        budget_used_usd=await _budget_used(runtime),
    )
    return render(stored, gauges)


async def _dead_letters(runtime: Runtime) -> int | None:
    """None while Postgres is away: the rest of the scrape is wanted then more than ever."""
    if runtime.standby.postgres.silent:
        return None
    try:
        return await runtime.ledger.dead_letters()
    except Unavailable:
        return None


async def _budget_used(runtime: Runtime) -> dict[tuple[str, str], float] | None:
    """None while Postgres, which alone knows, is away."""
    if runtime.standby.postgres.silent:
        return None
    try:
        return {(use.provider, use.model): to_usd(use.cost_nano) for use in await runtime.ledger.usage_by_model(None)}
    except Unavailable:
        return None


async def flush(runtime: Runtime) -> None:
    """Add what was counted since the last flush; counts that could not be written are kept. Raises Unavailable."""
    counts = runtime.metrics.drain()
    if not counts:
        return
    try:
        await runtime.counters.add(counts)
    except Unavailable:
        runtime.metrics.restore(counts)
        raise


async def keep_flushing(runtime: Runtime) -> None:
    """Flush every second until cancelled. A process that is killed loses the counts of its last second."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        with suppress(Unavailable):
            await flush(runtime)
