"""Cancelling: a task that is not final becomes `cancelled`, also while it runs.

Postgres first: from its commit on, no attempt can write. Then the queue forgets the task and tells the worker,
which stops the handler within a second. A process that dies in between leaves a lease or an entry of a final
task; the sweep removes it.
"""

import structlog

from orchestrator.domain.errors import Conflict, NotFound, Unavailable
from orchestrator.domain.events import OUTCOME
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.states import State
from orchestrator.domain.task import Task
from orchestrator.operations.fences import fresh_fence
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.cancel")


async def cancel(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    """Return the cancelled task; cancelling it twice is one cancellation.

    Raises NotFound, or Conflict when it ended otherwise.
    """
    task = await runtime.ledger.cancel(tenant, task_id, await fresh_fence(runtime))
    if task is None:
        return await _refusal(runtime, tenant, task_id)
    runtime.metrics.ended(task.type, State.CANCELLED.value)
    try:
        await runtime.queue.drop([task_id])
        body = {"status": State.CANCELLED.value, "attempt": task.attempt}
        await runtime.feed.publish_status(task_id, task.fence, OUTCOME, body, task.finished_at)
    except Unavailable as away:
        _log.warning("drop_deferred", task_id=task_id, reason=str(away))
    return task


async def _refusal(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    task = await runtime.ledger.read(tenant, task_id)
    if task is None:
        raise NotFound(f"no task {task_id}")
    if task.status is State.CANCELLED:
        return task
    raise Conflict(f"the task is {task.status.value} already; only a task that has not ended can be cancelled")
