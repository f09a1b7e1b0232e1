"""Parking: a task that waits for something gives its worker up.

Postgres is written first, under the attempt's fence; then the queue forgets the task, and what it waits for is looked
at once more, in case it came in between. A process that dies on the way leaves a lease that runs out and is refused,
or a wait that the `wakes` chore finds over. Parking waits for Postgres: without it nobody could wake the task.
"""

from orchestrator import crash
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import WorkerId
from orchestrator.domain.task import Settlement
from orchestrator.operations.patience import patiently
from orchestrator.operations.rebuild import restore
from orchestrator.operations.record import is_on_its_way
from orchestrator.operations.seal import seal_ending
from orchestrator.operations.wake import wake
from orchestrator.runtime import Runtime


async def park(runtime: Runtime, worker: WorkerId, ending: Settlement) -> bool:
    """Let the task wait; False for a stale attempt, which changed nothing."""
    task_id, kept = ending.claim.entry.id, seal_ending(runtime, ending)
    while not await patiently(runtime.clock, lambda: runtime.ledger.park(kept)):
        if not await is_on_its_way(runtime, task_id):
            runtime.metrics.lease_lost(1)
            return False
    crash.at("parked")
    await patiently(runtime.clock, lambda: runtime.queue.settle(worker, [ending], runtime.metrics.drain()))
    try:
        if not await wake(runtime, [task_id]):
            # Who woke it before the queue had let go of it could not put it there.
            await restore(runtime, [task_id])
    except Unavailable:
        return True  # left to the chores
    return True
