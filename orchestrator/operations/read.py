"""Reading: the row, with the live state laid over it when that is newer.

Every read names the tenant; what belongs to another answers as unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from orchestrator.domain.artifact import StoredArtifact
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.events import OPENING, Event, EventKind
from orchestrator.domain.filters import DeadFilter, DeadGroup, TaskFilter
from orchestrator.domain.ids import TaskId, Tenant, parse_task_id
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.steps import StepView
from orchestrator.domain.task import DEFAULT_QUEUE, Run, Task
from orchestrator.operations.paging import Page, open_cursor, page_of
from orchestrator.operations.recall import ended, newest, recall
from orchestrator.operations.seal import open_event, open_message, open_run, open_step_view, open_task
from orchestrator.operations.standby import leave
from orchestrator.queue.port import Live, QueueFigures
from orchestrator.queue.presence import WorkerCard
from orchestrator.runtime import Runtime


async def get(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    """Return one task as it stands.

    Raises NotFound, Unavailable for what only Postgres knows while it is away, SealKeyMissing or SealBroken.
    """
    return open_task(runtime, await stored(runtime, tenant, task_id))


async def stored(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    """Return one task as it stands, and what is sealed of it sealed. Raises NotFound or Unavailable, as `get` does."""
    if runtime.standby.postgres.silent and (recalled := await recall(runtime, tenant, task_id)) is not None:
        return recalled
    task = await _recorded(runtime, tenant, task_id)
    if task is None:
        raise NotFound(f"no task {task_id}")
    return task if task.status in FINAL else await _overlaid(runtime, task)


async def _recorded(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task | None:
    """The row, or what Redis has while there is no row."""
    try:
        task = await runtime.ledger.read(tenant, task_id)
    except Unavailable as away:
        leave(runtime, runtime.standby.postgres, away)
        recalled = await recall(runtime, tenant, task_id)
        if recalled is None:
            raise
        return recalled
    return await recall(runtime, tenant, task_id) if task is None else task


async def page(runtime: Runtime, tenant: Tenant, wanted: TaskFilter, cursor: str | None, limit: int) -> Page[Task]:
    """Return tasks, newest first. Raises InvalidCursor."""
    tasks = await runtime.ledger.page(tenant, wanted, open_cursor(cursor, parse_task_id), limit + 1)
    return page_of([open_task(runtime, task, listed=True) for task in tasks], limit, lambda task: task.id)


async def dead(runtime: Runtime, tenant: Tenant, wanted: DeadFilter, cursor: str | None, limit: int) -> Page[Task]:
    """Return dead letters, newest first. Raises InvalidCursor."""
    tasks = await runtime.ledger.dead(tenant, wanted, open_cursor(cursor, parse_task_id), limit + 1)
    return page_of([open_task(runtime, task, listed=True) for task in tasks], limit, lambda task: task.id)


async def dead_groups(runtime: Runtime, tenant: Tenant) -> list[DeadGroup]:
    """Return dead letters counted by error fingerprint, the largest group first."""
    found = await runtime.ledger.dead_groups(tenant)
    return [replace(group, message=open_message(runtime, tenant, newest, group.message)) for newest, group in found]


async def runs(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> list[Run]:
    """Return a task's attempts, oldest first. Raises NotFound."""
    await _known(runtime, tenant, task_id)
    return [open_run(runtime, tenant, run) for run in await runtime.ledger.runs(tenant, task_id)]


async def steps(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> list[StepView]:
    """Return what a task has finished or begun, the first first. Raises NotFound."""
    await _known(runtime, tenant, task_id)
    found = await runtime.ledger.list_steps(tenant, task_id)
    return [open_step_view(runtime, tenant, task_id, step) for step in found]


async def events(
    runtime: Runtime, tenant: Tenant, task_id: TaskId, after: int, limit: int, kinds: Sequence[EventKind] | None = None
) -> list[Event]:
    """Return the task's events behind a place, in order: told ones and statuses. Raises NotFound."""
    await _known(runtime, tenant, task_id)
    found = await runtime.ledger.events(tenant, task_id, after, limit, kinds)
    return [open_event(runtime, tenant, event) for event in found]


async def artifacts(
    runtime: Runtime, tenant: Tenant, task_id: TaskId, cursor: str | None, limit: int
) -> Page[StoredArtifact]:
    """Return a task's artifacts, oldest first. Raises NotFound, or InvalidCursor."""
    after = open_cursor(cursor, parse_task_id)
    await _known(runtime, tenant, task_id)
    found = await runtime.ledger.artifacts(tenant, task_id, after, limit + 1)
    return page_of(found, limit, lambda artifact: artifact.file.id)


async def opening(runtime: Runtime, task: Task) -> Event | None:
    """Return the `running` event of an attempt that Postgres has not heard of yet, if there is one."""
    live = await _live(runtime, task.id)
    if live is None or live.status is not State.RUNNING or live.started_at_us is None:
        return None
    at = datetime.fromtimestamp(live.started_at_us / 1e6, UTC)
    body = {"status": State.RUNNING.value, "attempt": live.attempt}
    return Event(task.id, live.fence, OPENING, EventKind.STATUS, body, at)


async def queues(runtime: Runtime, *, every: bool) -> list[QueueFigures]:
    """Return the figures of the queues, which all tenants share; without `every`, of those that are no tenant's words.

    A caller may name any queue, so its name may tell of its tenant. The default queue and those of handlers do not.
    """
    figures = await runtime.queue.queues()
    public = {DEFAULT_QUEUE, *(handler.queue for handler in runtime.handlers.values())}
    return [each for each in figures if every or each.name in public]


async def workers(runtime: Runtime, tenant: Tenant | None = None) -> list[WorkerCard]:
    """Return who is alive, and of what each runs the tenant's own tasks; with None all."""
    cards = await runtime.presence.workers()
    if tenant is None:
        return cards
    running = [task_id for card in cards for task_id in card.running]
    own = await _own(runtime, tenant, running) if running else set[TaskId]()
    return [replace(card, running=tuple(task for task in card.running if task in own)) for card in cards]


async def _own(runtime: Runtime, tenant: Tenant, ids: Sequence[TaskId]) -> set[TaskId]:
    """None of them while Postgres is away: it alone knows of all of them whose they are."""
    if runtime.standby.postgres.silent:
        return set()
    try:
        return await runtime.ledger.own(tenant, ids)
    except Unavailable as away:
        leave(runtime, runtime.standby.postgres, away)
        return set()


async def _known(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> None:
    if await runtime.ledger.read(tenant, task_id) is None:
        raise NotFound(f"no task {task_id}")


async def _overlaid(runtime: Runtime, task: Task) -> Task:
    live = await _live(runtime, task.id)
    if live is not None and live.status in FINAL:
        held = await runtime.queue.held(task.id)
        return task if held is None else ended(task, held)
    return newest(task, live)


async def _live(runtime: Runtime, task_id: TaskId) -> Live | None:
    try:
        return (await runtime.queue.live([task_id])).get(task_id)
    except Unavailable:
        return None  # the row alone answers while Redis is away
