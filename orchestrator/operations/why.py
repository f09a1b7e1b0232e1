"""Why a task does not run: the first cause, in the order in which causes must be removed."""

from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.profile import Profile
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.task import Task
from orchestrator.operations.read import stored, workers
from orchestrator.queue.port import Standing
from orchestrator.queue.presence import WorkerCard
from orchestrator.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Why:
    """`cause` is a stable word for programs, `detail` a sentence for people."""

    status: State
    cause: str
    detail: str
    rank: int | None = None
    busy_workers: int | None = None
    due_at: datetime | None = None


async def why(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Why:
    """Name the first cause. Raises NotFound."""
    task = await stored(runtime, tenant, task_id)
    if task.status in FINAL:
        return Why(task.status, "final", f"it has ended: {task.status.value}")
    if task.status is State.RUNNING:
        return await _running(runtime, task)
    if task.status is State.WAITING:
        return await _waiting(runtime, task)
    try:
        standing = await runtime.queue.standing(task_id)
        serving = [card for card in await workers(runtime) if not card.queues or task.queue in card.queues]
    except Unavailable:
        return Why(task.status, "redis_away", "Redis cannot be reached; tasks start again when it is back")
    return _cause(task, standing, serving, runtime.clock.now(), runtime.profiles.by_tenant.get(tenant))


async def _waiting(runtime: Runtime, task: Task) -> Why:
    """What a parked task waits for."""
    wait = await runtime.ledger.wait_of(task.tenant, task.id)
    due_at = None if wait is None else wait.wake_at
    if wait is not None and wait.children:
        live = await runtime.ledger.live_among(task.tenant, wait.children)
        which = ", ".join(f"{task_id} ({status.value})" for task_id, status in live[:3])
        more = f" and {len(live) - 3} more" if len(live) > 3 else ""
        return Why(task.status, "waiting_for_children", f"it waits for its child {which}{more}", due_at=due_at)
    if wait is not None and wait.lock is not None:
        holder = await runtime.ledger.lock_holder(task.tenant, wait.lock)
        return Why(task.status, "waiting_for_lock", f"it waits for the lock {wait.lock!r}, which task {holder} holds")
    if due_at is not None and wait is not None and wait.money:
        return Why(
            task.status,
            "waiting_for_money",
            f"it waits for a day with money, {due_at:%Y-%m-%dT%H:%M:%SZ}, or a higher limit",
            due_at=due_at,
        )
    if due_at is not None:
        return Why(task.status, "sleeping", f"it sleeps until {due_at:%Y-%m-%dT%H:%M:%SZ}", due_at=due_at)
    return Why(task.status, "waking", "what it waited for has come; it is queued within seconds")


async def _running(runtime: Runtime, task: Task) -> Why:
    detail = f"it runs on {task.worker_id}, attempt {task.attempt}"
    try:
        alive = {card.id for card in await workers(runtime)}
    except Unavailable:
        return Why(task.status, "running", detail)
    if task.worker_id in alive:
        return Why(task.status, "running", detail)
    lease_seconds = runtime.limits.lease_ms // 1000
    gone = f"its worker {task.worker_id} is not heard of any more; another takes over within {lease_seconds} s of that"
    return Why(task.status, "worker_gone", gone)


def _held(task: Task, owner: str, profile: Profile | None) -> str:
    """Say whose number is reached; the number itself only where this process knows it."""
    of_type = owner != task.tenant
    whose = f"the tenant's type {task.type!r}" if of_type else "the tenant"
    bounds = None if profile is None else profile.of_type(task.type) if of_type else profile.bounds
    if bounds is not None and bounds.running == 0:
        return f"{whose} may run none, its limit `running` is 0; this task comes in its order when that is raised"
    most = "all that it may" if bounds is None or bounds.running is None else f"its {bounds.running}"
    return f"{whose} runs {most} at once; this task comes in its order when one of them ends"


def _cause(
    task: Task, standing: Standing, serving: list[WorkerCard], now: datetime, profile: Profile | None = None
) -> Why:
    if standing.due_in_us is not None and standing.due_in_us > 0:
        due_at = task.run_at or datetime.fromtimestamp(now.timestamp() + standing.due_in_us / 1e6, UTC)
        waits = "its next attempt" if task.status is State.RETRYING else "its start"
        return Why(task.status, "not_due", f"{waits} is due at {due_at:%Y-%m-%dT%H:%M:%SZ}", due_at=due_at)
    if standing.held_by is not None:
        return Why(task.status, "held", _held(task, standing.held_by, profile))
    if standing.paused:
        return Why(task.status, "paused", f"the queue {task.queue!r} is paused: resume it to go on")
    if not serving:
        return Why(task.status, "no_worker", f"no live worker serves the queue {task.queue!r}: start one")
    if standing.rank is None:
        return Why(task.status, "not_in_queue", "it is on its way into the queue; the sweep puts it there in seconds")
    busy = sum(len(card.running) >= card.concurrency for card in serving)
    ahead = "it is next" if standing.rank == 0 else f"{standing.rank} tasks are before it"
    detail = f"{ahead} in the queue {task.queue!r}; {busy} of {len(serving)} workers are busy"
    return Why(task.status, "waiting_its_turn", detail, rank=standing.rank, busy_workers=busy)
