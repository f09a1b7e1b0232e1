"""Keeping new tasks: in Postgres first and in the queue after the commit, or in the outbox while Postgres is away.

A process that dies between the commit and the queue leaves rows that the reconciler puts in the queue. While Redis is
away nothing waits for it: the rows are kept, and queued when it is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from orchestrator import crash
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.outbox import Acceptance, Durability, Holder, KeyHold
from orchestrator.domain.task import Entry, NewTask
from orchestrator.ledger.outbox_records import inserted, withdrawn
from orchestrator.ledger.postgres import Existing, Inserted
from orchestrator.operations.doubt import doubt, found_again
from orchestrator.operations.hold import QUEUE_SECONDS, key_holds, owe, reserve
from orchestrator.operations.standby import appended, leave
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.keep")

ANSWER_SECONDS = 2.2
"""For all of it: with the line of the audit, and the way there and back, nobody waits longer than three seconds."""
_LATE_SECONDS = 2.0
"""Less than the reconciler waits with a row that it finds."""
_DISK_SECONDS = 1.7
"""How long the disk of Redis is waited for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The task is kept."""

    where: Durability


Turn = Callable[[], Awaitable[None]]


async def keep(runtime: Runtime, tasks: Sequence[NewTask], turn: Turn) -> list[Kept | Existing]:
    """Keep the tasks whose key is free, and answer in their order; `turn` is awaited before they are queued.

    Raises Unavailable when neither store answers in time; whether the tasks are kept is not known then.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _keep(runtime, tasks, turn)
    except TimeoutError as error:
        doubt(runtime, tasks)
        raise Unavailable("postgres and redis") from error
    except Unavailable:
        doubt(runtime, tasks)
        raise


async def _keep(runtime: Runtime, tasks: Sequence[NewTask], turn: Turn) -> list[Kept | Existing]:
    standby, unsure = runtime.standby, False
    if not standby.postgres.silent:
        try:
            return await _store(runtime, tasks, turn)
        except Unavailable as away:
            if away.dependency != standby.postgres.name:
                raise
            leave(runtime, standby.postgres, away)
            unsure = True
    if standby.redis.silent and standby.postgres.silent:
        raise Unavailable("postgres and redis")
    try:  # in no turn: here to be accepted is to be queued
        return await _accept(runtime, tasks, unsure)
    except Unavailable as away:  # or only its disk is slow
        if unsure or standby.isolated:
            raise Unavailable("postgres and redis") from away
        return await _last_resort(runtime, tasks, away)


async def _store(runtime: Runtime, tasks: Sequence[NewTask], turn: Turn) -> list[Kept | Existing]:
    began = runtime.clock.monotonic()
    held = await reserve(runtime, tasks) | await found_again(runtime, tasks)
    asked = [task for task in tasks if task.id not in held]
    stored = await runtime.ledger.insert(asked) if asked else []
    await turn()
    late = runtime.clock.monotonic() - began > _LATE_SECONDS
    kept = dict(zip((task.id for task in asked), await _enqueue(runtime, asked, stored, late), strict=True))
    return [_existing(held[task.id]) if task.id in held else kept[task.id] for task in tasks]


async def _last_resort(runtime: Runtime, tasks: Sequence[NewTask], reason: Unavailable) -> list[Kept | Existing]:
    """Redis has gone while Postgres was believed to be away: perhaps it is back."""
    try:
        stored = await runtime.ledger.insert(tasks)
    except Unavailable as away:
        raise Unavailable("postgres and redis") from away
    runtime.standby.postgres.silent = False
    leave(runtime, runtime.standby.redis, reason)
    owe(runtime, [task for task, answer in zip(tasks, stored, strict=True) if not isinstance(answer, Existing)])
    return [answer if isinstance(answer, Existing) else Kept(Durability.POSTGRES) for answer in stored]


async def _enqueue(
    runtime: Runtime, tasks: Sequence[NewTask], stored: Sequence[Inserted | Existing], late: bool
) -> list[Kept | Existing]:
    """`late`: it took so long that the reconciler may have queued them, and they may have ended, before."""
    answers: list[Kept | Existing] = [
        answer if isinstance(answer, Existing) else Kept(Durability.POSTGRES) for answer in stored
    ]
    fresh = [task for task, answer in zip(tasks, stored, strict=True) if not isinstance(answer, Existing)]
    crash.at("inserted")
    if not fresh:
        return answers
    if runtime.standby.redis.away:
        owe(runtime, fresh)
        return answers
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            queued = await runtime.queue.enqueue([_entry(task, late) for task in fresh], key_holds(fresh))
    except (Unavailable, TimeoutError) as error:
        leave(runtime, runtime.standby.redis, error if isinstance(error, Unavailable) else Unavailable("redis"))
        owe(runtime, fresh)
        return answers
    except Exception as error:  # noqa: BLE001 - they are kept: the reconciler puts them in the queue
        _log.warning("enqueue_deferred", tasks=len(fresh), reason=str(error))
        return answers
    crash.at("enqueued")
    beaten = [task for task, holder in zip(fresh, queued, strict=True) if isinstance(holder, Holder)]
    if not beaten:
        return answers
    # Asked again, as what may stand in Postgres: its row is withdrawn, in the order of the outbox.
    instead = dict(zip((task.id for task in beaten), await _accept(runtime, beaten, unsure=True), strict=True))
    return [instead.get(task.id, answer) for task, answer in zip(tasks, answers, strict=True)]


def _existing(holder: Holder) -> Existing:
    return Existing(holder.task_id, holder.fingerprint)


async def _accept(runtime: Runtime, tasks: Sequence[NewTask], unsure: bool) -> list[Kept | Existing]:
    """Keep them in Redis until Postgres is back; `unsure` when they may stand in Postgres all the same."""
    holds = key_holds(tasks)
    asked = [_acceptance(task, holds.get(task.id), unsure) for task in tasks]
    try:
        async with asyncio.timeout(_DISK_SECONDS):
            answers, where = await appended(runtime, lambda: runtime.queue.accept(asked))
    except TimeoutError as error:
        raise Unavailable("redis") from error
    crash.at("accepted")
    return [
        Existing(answer.task_id, answer.fingerprint) if isinstance(answer, Holder) else Kept(where)
        for answer in answers
    ]


def _acceptance(task: NewTask, hold: KeyHold | None, unsure: bool) -> Acceptance:
    return Acceptance(_entry(task), inserted(task), hold, withdrawn(task.id) if unsure else None)


def _entry(task: NewTask, late: bool = False) -> Entry:
    return Entry(
        id=task.id,
        tenant=task.tenant,
        type=task.type,
        queue=task.queue,
        priority=task.priority,
        payload=task.payload,
        max_retries=task.max_retries,
        timeout_seconds=task.timeout_seconds,
        traceparent=task.traceparent,
        ready_at_us=_us(task.run_at),
        expires_at_us=_us(task.expires_at),
        called=task.called,
        restored=late or task.asked_again,
    )


def _us(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1e6)
