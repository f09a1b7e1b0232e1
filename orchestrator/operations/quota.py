"""Quotas: each new task of a limited tenant takes a place before it is written anywhere.

It gives it back if it comes to nothing. Redis counts, so that nobody passes a limit however many processes ask at once;
what it does not know is counted in Postgres first. With Redis away each batch is counted in Postgres instead: then
processes may pass a limit by what they have under way. What has to come (a child that its parent waits for, a webhook)
is counted and never refused, deliveries of endings are not counted; the same request again is answered with its task,
and takes no second place. A process that dies between the two leaves a place taken: of what waits until the next
recount, of the day until its end.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

import structlog

from orchestrator.domain.errors import QuotaExceeded, Unavailable
from orchestrator.domain.ids import TaskId, Tenant, first_id
from orchestrator.domain.profile import seconds_to_midnight
from orchestrator.domain.subscription import DELIVER
from orchestrator.domain.task import NewTask
from orchestrator.ledger.postgres import Existing
from orchestrator.operations.hold import QUEUE_SECONDS
from orchestrator.operations.standby import leave
from orchestrator.queue.quotas import Full, Place, Unknown
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.quota")

_WAIT_SECONDS = 5
"""Nobody knows when a task begins."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a batch at the door."""

    refused: Mapping[TaskId, QuotaExceeded | Existing] = field(default_factory=dict)
    """Existing: the same was asked for before, so that there is no place to take."""
    day: str = ""
    taken: Sequence[Place] = ()

    async def give_back(self, runtime: Runtime, ids: set[TaskId]) -> None:
        """Give back the places of those of these tasks that had one; with Redis away they are counted anew later."""
        places = [place for place in self.taken if place.task_id in ids]
        if places and runtime.standby.redis.away:
            _count_again(runtime, self.day, {place.tenant for place in places})
        elif places:
            try:
                await runtime.queue.give_back(self.day, places)
            except Unavailable:
                _count_again(runtime, self.day, {place.tenant for place in places})


_FREE = Admission()


async def forget(runtime: Runtime, tenants: set[Tenant]) -> None:
    """Have the places of these tenants counted anew: while a limit was not set, nobody counted for it."""
    day = f"{runtime.clock.now().astimezone(UTC):%Y%m%d}"
    try:
        await runtime.queue.forget_counts(day, tenants)
    except Unavailable:
        _count_again(runtime, day, tenants)


async def admit(runtime: Runtime, tasks: Sequence[NewTask]) -> Admission:
    """Take a place for each task that needs one. Nothing that was refused has one."""
    if not runtime.profiles.by_tenant:
        return _FREE
    firsts = _firsts(tasks)
    places = [place for task in tasks if task.id not in firsts and (place := _place(runtime, task)) is not None]
    if not places:
        return _FREE
    now = runtime.clock.now().astimezone(UTC)
    day = f"{now:%Y%m%d}"
    answers = await _taken(runtime, day, places, now)
    full = {place.task_id: (place, why) for place, why in zip(places, answers, strict=True) if why is not None}
    refused: dict[TaskId, QuotaExceeded | Existing] = {
        task: _refusal(place, why, now) for task, (place, why) in full.items()
    }
    refused |= await repeats(runtime, [task for task in tasks if task.id in full])
    refused |= {again: refused[first] for again, first in firsts.items() if first in refused}
    return Admission(refused, day, [place for place in places if place.task_id not in full])


def _firsts(tasks: Sequence[NewTask]) -> dict[TaskId, TaskId]:
    """Of tasks that have a key of another of the batch before them: that one, whose place is theirs."""
    seen: dict[tuple[Tenant, str], TaskId] = {}
    firsts: dict[TaskId, TaskId] = {}
    for task in tasks:
        if task.idempotency_key is not None:
            first = seen.setdefault((task.tenant, task.idempotency_key), task.id)
            if first != task.id:
                firsts[task.id] = first
    return firsts


def _place(runtime: Runtime, task: NewTask) -> Place | None:
    profile = runtime.profiles.by_tenant.get(task.tenant)
    # One whose first try is in doubt has kept its place.
    if profile is None or task.type == DELIVER or (task.asked_again and not task.called):
        return None
    place = Place(
        task.id, task.tenant, task.type, task.always or task.called, profile.bounds, profile.of_type(task.type)
    )
    return place if place.for_the_day or place.in_waiting else None


async def _taken(runtime: Runtime, day: str, places: Sequence[Place], now: datetime) -> Sequence[Full | None]:
    try:
        for _ in range(_TRIES):
            try:
                return await _asked(runtime, day, places)
            except Unknown as unknown:
                await _count(runtime, day, unknown.tenants, now)
        return [None] * len(places)
    except Unavailable as away:
        if away.dependency == runtime.standby.postgres.name:
            # Redis forgot, and who remembers is away: work is accepted, and counted when Postgres is back.
            _log.warning("quota_unknown", tenants=sorted({place.tenant for place in places}))
            return [None] * len(places)
        _count_again(runtime, day, {place.tenant for place in places})
        return await _by_ledger(runtime, places, now)


async def _asked(runtime: Runtime, day: str, places: Sequence[Place]) -> Sequence[Full | None]:
    """Ask Redis, which is away when it does not answer soon. Raises Unknown, or Unavailable."""
    redis = runtime.standby.redis
    if redis.away:
        raise Unavailable(redis.name)
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            return await runtime.queue.take(day, places)
    except Unavailable as away:
        leave(runtime, redis, away)
        raise
    except TimeoutError as late:
        leave(runtime, redis, Unavailable(redis.name))
        raise Unavailable(redis.name) from late


async def _count(runtime: Runtime, day: str, tenants: set[Tenant], now: datetime) -> None:
    for tenant in tenants:
        await runtime.queue.count_day(day, tenant, await runtime.ledger.created_since(tenant, first_id(_midnight(now))))
        await runtime.queue.count_waiting(tenant, await runtime.ledger.unbegun(tenant))


async def _by_ledger(runtime: Runtime, places: Sequence[Place], now: datetime) -> list[Full | None]:
    """Decide by what Postgres has; where it is away as well, storing will say so."""
    answers: list[Full | None] = []
    known: dict[Tenant, tuple[Counter[str], Counter[str]]] = {}
    for place in places:
        if place.tenant not in known:
            try:
                created = Counter(await runtime.ledger.created_since(place.tenant, first_id(_midnight(now))))
                known[place.tenant] = created, Counter((await runtime.ledger.unbegun(place.tenant)).values())
            except Unavailable:
                return [*answers, *[None] * (len(places) - len(answers))]
        created, waiting = known[place.tenant]
        full = None if place.has_to_come else _full(place, created, waiting)
        if full is None:
            created[place.type] += 1
            waiting[place.type] += 1
        answers.append(full)
    return answers


def _full(place: Place, created: Counter[str], waiting: Counter[str]) -> Full | None:
    limits = (
        (place.bounds.tasks_per_day, created.total(), Full.TENANT_DAY),
        (place.type_bounds.tasks_per_day, created[place.type], Full.TYPE_DAY),
        (place.bounds.queued, waiting.total(), Full.TENANT_WAITING),
        (place.type_bounds.queued, waiting[place.type], Full.TYPE_WAITING),
    )
    return next((full for most, count, full in limits if most is not None and count >= most), None)


async def repeats(runtime: Runtime, tasks: Sequence[NewTask]) -> dict[TaskId, Existing]:
    """Those that were refused and were made before under the same key; while Postgres is away, none are known."""
    keyed = [task for task in tasks if task.idempotency_key is not None]
    if not keyed or runtime.standby.postgres.silent:
        return {}
    try:
        holders = await runtime.ledger.holders_of(keyed)
    except Unavailable:
        return {}
    return {task.id: holder for task, holder in zip(keyed, holders, strict=True) if holder is not None}


def _refusal(place: Place, full: Full, now: datetime) -> QuotaExceeded:
    of_type = full in (Full.TYPE_DAY, Full.TYPE_WAITING)
    bounds, type_name = (place.type_bounds, place.type) if of_type else (place.bounds, None)
    if full in (Full.TENANT_DAY, Full.TYPE_DAY):
        return QuotaExceeded("tasks_per_day", bounds.tasks_per_day or 0, type_name, seconds_to_midnight(now))
    return QuotaExceeded("queued", bounds.queued or 0, type_name, _WAIT_SECONDS)


def _count_again(runtime: Runtime, day: str, tenants: set[Tenant]) -> None:
    """Have Redis forget what it counted, once it is back: it has not seen all."""
    fresh = tenants - runtime.profiles.uncounted
    if not fresh:
        return
    runtime.profiles.uncounted |= fresh

    async def forget() -> None:
        await runtime.queue.forget_counts(day, fresh)
        runtime.profiles.uncounted -= fresh

    runtime.standby.unsaid.append(forget)


def _midnight(now: datetime) -> datetime:
    return datetime.combine(now.date(), time(), UTC)
