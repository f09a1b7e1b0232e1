"""Cancelling: a task that is not final becomes `cancelled`, also while it runs.

Postgres first: from its commit on, no attempt can write. Then the queue forgets the task and tells the worker,
which stops the handler within a second. A process that dies in between, or finds Redis away, leaves a lease or an
entry of a final task; the `strays` chore drops it within seconds, and `orphans` cancels its children. A queued one
that is claimed sooner does start; it is stopped when its attempt is to be recorded, and if it is over by then its
result is refused.
"""

from contextlib import suppress

import structlog

from orchestrator.domain.errors import Conflict, NotFound, Unavailable
from orchestrator.domain.events import OUTCOME
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.task import Task
from orchestrator.operations.fences import fresh_fence
from orchestrator.operations.seal import open_task
from orchestrator.operations.wake import wake_parents
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.cancel")

_TRIES = 4
"""An attempt that is recorded between our fence and our write is newer; no task has several starts a moment."""


async def cancel(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    """Return the cancelled task; cancelling it twice is one cancellation.

    Raises NotFound, or Conflict when it ended otherwise.
    """
    for _ in range(_TRIES):
        task = await _read(runtime, tenant, task_id)
        if task.status is State.CANCELLED:
            return open_task(runtime, task, listed=True)
        cancelled = await runtime.ledger.cancel(tenant, task_id, await fresh_fence(runtime))
        if cancelled is not None:
            await _tell(runtime, cancelled)
            await cancel_children(runtime, tenant, task_id)
            await wake_parents(runtime, [task_id])
            return open_task(runtime, cancelled, listed=True)
    raise Conflict("the task was started anew each time it was about to be cancelled; try again")


async def cancel_children(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> None:
    """Cancel what a cancelled task called and what has not ended, and so on down."""
    for child_id in await runtime.ledger.called_children([task_id]):
        await cancel_orphan(runtime, tenant, child_id)


async def cancel_orphan(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> None:
    """Cancel a task whose parent was cancelled, unless it has ended meanwhile."""
    with suppress(NotFound, Conflict):
        await cancel(runtime, tenant, task_id)


async def _read(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    """The task if it can be cancelled, or is; found out before a fence is spent on it."""
    task = await runtime.ledger.read(tenant, task_id)
    if task is None:
        raise NotFound(f"no task {task_id}")
    if task.status in FINAL and task.status is not State.CANCELLED:
        raise Conflict(f"the task is {task.status.value} already; only a task that has not ended can be cancelled")
    return task


async def _tell(runtime: Runtime, task: Task) -> None:
    runtime.metrics.ended(task.type, State.CANCELLED.value)
    try:
        await runtime.queue.drop([task.id])
        body = {"status": State.CANCELLED.value, "attempt": task.attempt}
        await runtime.feed.publish_status(task.id, task.fence, OUTCOME, body, task.finished_at)
    except Unavailable as away:
        _log.warning("drop_deferred", task_id=task.id, reason=str(away))
