"""Doubt: requests that were answered 503 and may have been kept all the same.

When the caller asks again with the same key and body, the task gets the id of the first try. So whichever store kept
that one, and whichever is asked now, both speak of one task. This process remembers it for a minute; a caller that
comes to another process meets the key's holder there, unless a second fault hides it.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.domain.ids import TaskId
from orchestrator.domain.outbox import Holder
from orchestrator.domain.task import NewTask
from orchestrator.runtime import Doubt, Runtime

_REMEMBERED_SECONDS = 60.0
_MOST = 100_000


def doubt(runtime: Runtime, tasks: Sequence[NewTask]) -> None:
    """Remember tasks of which nobody knows whether they were kept."""
    doubts, now = runtime.standby.doubts, runtime.clock.monotonic()
    while doubts and (len(doubts) > _MOST or next(iter(doubts.values())).until < now):
        del doubts[next(iter(doubts))]
    for task in tasks:
        if task.idempotency_key is not None:
            doubts.pop((task.tenant, task.idempotency_key), None)
            doubts[task.tenant, task.idempotency_key] = Doubt(task.id, task.fingerprint, now + _REMEMBERED_SECONDS)


def asked_again(runtime: Runtime, task: NewTask) -> NewTask:
    """Return the task under the id of its first try, if that is in doubt."""
    doubts = runtime.standby.doubts
    if not doubts or task.idempotency_key is None:
        return task
    first = doubts.get((task.tenant, task.idempotency_key))
    if first is None or first.fingerprint != task.fingerprint or first.until < runtime.clock.monotonic():
        return task
    return replace(task, id=first.task_id, asked_again=True)


async def found_again(runtime: Runtime, tasks: Sequence[NewTask]) -> dict[TaskId, Holder]:
    """Return those whose first try stands in Postgres: each holds its key itself, and may have ended."""
    again = {task.id: task for task in tasks if task.asked_again}
    known = await runtime.ledger.known(list(again)) if again else set()
    return {task_id: Holder(task_id, again[task_id].fingerprint) for task_id in known}
