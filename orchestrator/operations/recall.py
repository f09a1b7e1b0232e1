"""Recalling: a task as Redis has it, while Postgres is away or has not been told of it yet.

Only what was accepted or has ended through the outbox is known whole; of other tasks the queue holds too little for an
answer that is not half a lie.
"""

from dataclasses import replace
from datetime import UTC, datetime

import orjson

from orchestrator.domain.ids import Fence, TaskId, Tenant
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.task import NewTask, Task
from orchestrator.ledger.outbox_records import read_inserted, read_settled
from orchestrator.queue.port import Held, Live
from orchestrator.runtime import Runtime


async def recall(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task | None:
    """Return a task that was accepted through the outbox, as it stands; None for any other. Raises Unavailable."""
    held = await runtime.queue.held(task_id)
    if held is None or held.asked is None or held.entry.tenant != tenant:
        return None
    return ended(fresh(read_inserted(held.asked)), held)


def ended(task: Task, held: Held) -> Task:
    """Lay what the queue holds over a task: its live state, and its ending if that waits in the outbox."""
    if held.record is None or held.live.status not in FINAL:
        return newest(task, held.live)
    ending = read_settled(held.record)
    return replace(
        task,
        status=held.live.status,
        attempt=ending.attempt,
        result=None if ending.result is None else orjson.Fragment(ending.result),
        error=ending.error,
        finished_at=ending.finished_at,
        worker_id=ending.worker,
    )


def newest(task: Task, live: Live | None) -> Task:
    """Lay the live state over the row when it is newer."""
    if live is None or live.status in FINAL or (live.fence and live.fence < task.fence):
        return task
    if live.status is not State.RUNNING:
        return replace(task, status=live.status, attempt=max(task.attempt, live.attempt))
    started = task.started_at
    if live.started_at_us is not None and (started is None or live.attempt > task.attempt):
        started = datetime.fromtimestamp(live.started_at_us / 1e6, UTC)
    return replace(
        task,
        status=live.status,
        attempt=live.attempt,
        worker_id=live.worker,
        started_at=started,
        progress=task.progress if live.progress is None else orjson.loads(live.progress),
    )


def fresh(task: NewTask) -> Task:
    """What a read of the fresh row would give, without the read."""
    # By position: naming so many takes three times as long.
    return Task(
        task.id, task.tenant, task.type, task.state, task.queue, task.priority, orjson.Fragment(task.payload),
        None, None, None, task.tags, 0, 0, task.max_retries, task.timeout_seconds, task.idempotency_key,
        task.parent_id, task.run_at, task.expires_at, task.created_at, None, None, None, task.traceparent,
        0.0, Fence(0), callback_url=task.callback_url,
    )  # fmt: skip
