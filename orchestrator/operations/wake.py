"""Waking: waiting tasks whose wait is over are queued again.

Called by whoever may have ended a wait: the settlement of a child, a lock's release, a moment that has come, and the
parking itself, in case it was late. A process that dies before it calls leaves a task that the `wakes` chore finds
within seconds.
"""

from collections.abc import Sequence

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.wake")

BATCH = 500


async def wake(runtime: Runtime, ids: Sequence[TaskId]) -> int:
    """Queue those of these tasks whose wait is over; return how many. Raises Unavailable without Postgres."""
    woken = await runtime.ledger.wake(ids) if ids else []
    if woken:
        runtime.metrics.requeued("woken", len(woken))
        try:
            await runtime.queue.enqueue(await runtime.ledger.entries_of(woken))
        except Unavailable as away:  # the reconciler puts them in the queue
            _log.warning("enqueue_deferred", tasks=len(woken), reason=str(away))
    return len(woken)


async def wake_parents(runtime: Runtime, children: Sequence[TaskId]) -> None:
    """Wake the tasks that called these, which have ended. While Postgres is away it is left to the chore."""
    if not children:
        return
    try:
        await wake(runtime, await runtime.ledger.parents_of(children))
    except Unavailable as away:
        _log.warning("wake_deferred", children=len(children), reason=str(away))


async def wake_due(runtime: Runtime) -> int:
    """Wake tasks whose moment has come; return how many were found."""
    due = await runtime.ledger.due(BATCH)
    await wake(runtime, due)
    return len(due)
