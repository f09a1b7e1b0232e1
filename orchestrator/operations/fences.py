"""Fences for writes that no worker makes, and the epoch they count in.

An epoch comes from a Postgres sequence and stands in Redis. A Redis that was emptied, restarted or failed over has
no valid one, and nothing is claimed until a higher one is opened.
"""

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Fence
from orchestrator.operations.profile import restore_limits
from orchestrator.queue.port import FENCE_COUNTER_BITS, EpochMissing
from orchestrator.runtime import Runtime


async def fresh_fence(runtime: Runtime) -> Fence:
    """Return a fence above every one before it.

    When Redis cannot mint one, this process spends an epoch, which is above all that Redis ever gave, and counts in
    it until Redis mints again or somebody was given a higher one. The epoch chore then lifts Redis above it.
    """
    try:
        fence = await runtime.queue.mint()
        if fence >> FENCE_COUNTER_BITS < runtime.spare.epoch:
            await open_epoch(runtime)
            fence = await runtime.queue.mint()
    except (EpochMissing, Unavailable):
        return await _spare_fence(runtime)
    runtime.spare.epoch = 0
    return fence


async def _spare_fence(runtime: Runtime) -> Fence:
    spare = runtime.spare
    async with spare.lock:
        if spare.epoch == 0 or await runtime.ledger.last_epoch() != spare.epoch:
            spare.epoch, spare.used = await runtime.ledger.next_epoch(), 0
        spare.used += 1
        return Fence((spare.epoch << FENCE_COUNTER_BITS) + spare.used)


async def open_epoch(runtime: Runtime) -> int | None:
    """Give the queue a valid epoch if it has none, or an older one than Postgres gave out; return the one opened.

    What is paused is paused again, and ceilings are set, before anything can be claimed. Many processes may call it at
    once: the highest epoch wins, and an epoch that loses is never used.
    """
    current = await runtime.queue.epoch()
    if current is not None and current >= await runtime.ledger.last_epoch():
        return None
    for queue in await runtime.ledger.paused_queues():
        await runtime.queue.pause(queue)
    await restore_limits(runtime)
    epoch = await runtime.ledger.next_epoch()
    return epoch if await runtime.queue.open_epoch(epoch) else None
