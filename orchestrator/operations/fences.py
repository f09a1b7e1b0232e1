"""Fences for writes that no worker makes, and the epoch they count in.

An epoch comes from a Postgres sequence and stands in Redis. A Redis that was emptied, restarted or failed over has
no valid one, and nothing is claimed until a higher one is opened.
"""

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Fence
from orchestrator.queue.port import FENCE_COUNTER_BITS, EpochMissing
from orchestrator.runtime import Runtime


async def fresh_fence(runtime: Runtime) -> Fence:
    """Return a fence above every one before it.

    When Redis cannot mint one, a whole epoch is spent: its first fence is above all that Redis ever gave. The
    epoch chore then lifts Redis to it.
    """
    try:
        return await runtime.queue.mint()
    except (EpochMissing, Unavailable):
        return Fence(await runtime.ledger.next_epoch() << FENCE_COUNTER_BITS)


async def open_epoch(runtime: Runtime) -> int | None:
    """Give the queue a valid epoch if it has none, or an older one than Postgres gave out; return the one opened.

    Many processes may call it at once: the highest epoch wins, and an epoch that loses is never used.
    """
    current = await runtime.queue.epoch()
    if current is not None and current >= await runtime.ledger.last_epoch():
        return None
    epoch = await runtime.ledger.next_epoch()
    return epoch if await runtime.queue.open_epoch(epoch) else None
