"""Locks: one task of a tenant at a time, named by whoever needs it.

A lock is the task's, not the attempt's: it is held through retries and waits, and is free once the task is final.
"""

from orchestrator.domain.errors import LeaseLost, Unavailable
from orchestrator.domain.ids import Fence
from orchestrator.domain.task import Claim
from orchestrator.operations.patience import patiently
from orchestrator.operations.record import is_on_its_way
from orchestrator.operations.wake import wake
from orchestrator.runtime import Runtime


async def take(runtime: Runtime, claim: Claim, name: str) -> Fence | None:
    """Take a lock for the claim's task: its fence, or None while another task holds it. Raises LeaseLost.

    Waits while Postgres is away: only it knows who holds what.
    """
    while True:
        fresh, fence = await patiently(runtime.clock, lambda: runtime.ledger.take_lock(claim, name))
        if fresh:
            return fence
        if not await is_on_its_way(runtime, claim.entry.id):
            raise LeaseLost(claim.entry.id, claim.fence)


async def release(runtime: Runtime, claim: Claim, name: str) -> None:
    """Let go of it, and wake the oldest task that waits for it. An attempt that is stale lets go of nothing."""
    waiting = await patiently(runtime.clock, lambda: runtime.ledger.release_lock(claim, name))
    if waiting is not None:
        try:
            await wake(runtime, [waiting])
        except Unavailable:
            return  # left to the chore
