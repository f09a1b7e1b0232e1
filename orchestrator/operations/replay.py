"""Replaying: the only way out of a final state.

The task keeps its id and its history and starts over with a full budget of attempts.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from orchestrator.domain.errors import Conflict, InvalidInput, Issue, NotFound, Unavailable
from orchestrator.domain.events import OPENING
from orchestrator.domain.filters import DeadFilter
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.states import FINAL
from orchestrator.domain.task import Task
from orchestrator.operations.cancel import cancel_orphan
from orchestrator.operations.fences import fresh_fence
from orchestrator.operations.seal import open_task
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.replay")

MOST_AT_ONCE = 10_000


async def retry(
    runtime: Runtime, tenant: Tenant, task_id: TaskId, *, from_step: str | None = None, start_over: bool = False
) -> Task:
    """Run a final task again; what it had finished answers from its steps.

    But for `from_step` and all that came later, or with `start_over` for everything. Raises NotFound, Conflict when it
    has not ended, or InvalidInput for a step that it does not have.
    """
    task = await runtime.ledger.read(tenant, task_id)
    if task is None:
        raise NotFound(f"no task {task_id}")
    if task.status not in FINAL:  # found out before a fence is spent on it
        raise Conflict(f"the task is {task.status.value}; only a task that has ended can be run again")
    if from_step is not None:
        await _check_step(runtime, tenant, task_id, from_step)
    reopened = await _reopen(
        runtime, tenant, [task_id], rate_per_second=None, from_step=from_step, start_over=start_over
    )
    await _cancel_abandoned(runtime, tenant, task_id)
    if not reopened:
        raise Conflict("somebody else asked to run the task again at the same moment")
    return open_task(runtime, reopened[0], listed=True)


async def _cancel_abandoned(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> None:
    """Cancel children that run on and that no step of the task knows any more."""
    known = {step.child_id for step in await runtime.ledger.list_steps(tenant, task_id)}
    for child_id in await runtime.ledger.called_children([task_id]):
        if child_id not in known:
            await cancel_orphan(runtime, tenant, child_id)


async def _check_step(runtime: Runtime, tenant: Tenant, task_id: TaskId, name: str) -> None:
    known = [step.name for step in await runtime.ledger.list_steps(tenant, task_id)]
    if name not in known:
        listed = ", ".join(repr(step) for step in known) or "none"
        raise InvalidInput(
            f"the task has no step {name[:200]!r}; it has: {listed[:2000]}",
            [Issue("/from_step", "name a step of GET /tasks/{id}/steps, or leave it out")],
        )


async def replay_dead(
    runtime: Runtime, tenant: Tenant, wanted: DeadFilter | Sequence[TaskId], rate_per_second: float | None
) -> int:
    """Run dead letters again, spread out at a rate, and return how many; at most MOST_AT_ONCE of a filter.

    Ids that are no dead letters of this tenant are left alone.
    """
    if isinstance(wanted, DeadFilter):
        wanted = await runtime.ledger.dead_ids(tenant, wanted, MOST_AT_ONCE)
    return len(await _reopen(runtime, tenant, wanted, rate_per_second, only_dead=True))


async def run_again(runtime: Runtime, tenant: Tenant, ids: Sequence[TaskId]) -> int:
    """Run these tasks again, as far as they have ended, and return how many; what they had finished is not repeated."""
    return len(await _reopen(runtime, tenant, ids, rate_per_second=None))


async def _reopen(
    runtime: Runtime,
    tenant: Tenant,
    ids: Sequence[TaskId],
    rate_per_second: float | None,
    *,
    only_dead: bool = False,
    from_step: str | None = None,
    start_over: bool = False,
) -> list[Task]:
    if not ids:
        return []
    now = runtime.clock.now()
    due = [
        None if not rate_per_second or place < rate_per_second else now + timedelta(seconds=place / rate_per_second)
        for place in range(len(ids))
    ]
    fence = await fresh_fence(runtime)
    tasks = await runtime.ledger.reopen(
        tenant, ids, fence, due, only_dead=only_dead, from_step=from_step, start_over=start_over
    )
    try:
        await runtime.queue.enqueue(await runtime.ledger.entries_of([task.id for task in tasks]))
        for task in tasks:
            body = {"status": task.status.value, "attempt": 0}
            await runtime.feed.publish_status(task.id, fence, OPENING, body, now)
    except Unavailable as away:
        _log.warning("enqueue_deferred", tasks=len(tasks), reason=str(away))
    return tasks
