"""Pausing: a paused queue takes tasks and hands none out.

Postgres remembers it, so an emptied Redis learns it again.
"""

from orchestrator.runtime import Runtime


async def pause(runtime: Runtime, queue: str) -> None:
    """Hand out nothing more from this queue; what runs goes on."""
    await runtime.ledger.pause(queue, True)
    await runtime.queue.pause(queue)


async def resume(runtime: Runtime, queue: str) -> None:
    await runtime.ledger.pause(queue, False)
    await runtime.queue.resume(queue)
