"""Holding keys: what Redis is told of idempotency keys, so that it can answer for them while Postgres is away.

Postgres decides about a key whenever it is there. Redis hears of it before the row is written, and once more when the
task is queued; what it could not be told while it was away it is told first when it is back.
"""

import asyncio
from collections.abc import Sequence

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId
from orchestrator.domain.outbox import Holder, KeyHold
from orchestrator.domain.task import NewTask
from orchestrator.operations.standby import leave
from orchestrator.queue.keys import key_name
from orchestrator.runtime import Runtime

QUEUE_SECONDS = 1.0
"""How long a request waits for Redis when Postgres is there."""
_MOST_UNTOLD = 100_000
_LONGEST_KEY_MS = 24 * 3600 * 1000
"""How long the queue remembers a key at most: Postgres knows it for as long as it lives."""


async def reserve(runtime: Runtime, tasks: Sequence[NewTask]) -> dict[TaskId, Holder]:
    """Tell Redis the keys first: a process that believes Postgres to be away asks there.

    Without it a process that dies behind its commit would leave a key that only Postgres knows.
    """
    holds = key_holds(tasks)
    if not holds or runtime.standby.redis.away:
        return {}
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            return await runtime.queue.reserve(holds)
    except (Unavailable, TimeoutError) as error:
        leave(runtime, runtime.standby.redis, error if isinstance(error, Unavailable) else Unavailable("redis"))
        return {}


def owe(runtime: Runtime, tasks: Sequence[NewTask]) -> None:
    """Redis is told these keys first when it is back: Postgres may be away by then."""
    untold = runtime.standby.untold
    if runtime.standby.redis.away and len(untold) < _MOST_UNTOLD:
        untold.update(key_holds(tasks))


def key_holds(tasks: Sequence[NewTask]) -> dict[TaskId, KeyHold]:
    return {task.id: _hold(task, task.idempotency_key) for task in tasks if task.idempotency_key is not None}


def _hold(task: NewTask, key: str) -> KeyHold:
    left_ms = _LONGEST_KEY_MS
    if task.key_expires_at is not None:
        left_ms = min(left_ms, int((task.key_expires_at - task.created_at).total_seconds() * 1000))
    return KeyHold(key_name(task.tenant, key), task.fingerprint, max(1, left_ms), task.key_until_final)
