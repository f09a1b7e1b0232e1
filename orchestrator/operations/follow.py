"""Following: one task's events, from any place to its end, without a gap and without a repeat.

The listener is registered first, then history is read, then live news are passed on as long as each follows the one
before. News may be missing: they are published after the commit, and that can fail. So history is read again when
something is not the next, when messages may have been missed (a reconnect, an overflow), at every outcome, and after a
long silence. Places only grow, so whatever arrives twice is recognised.

History is Postgres' alone. While it is away, or behind the outbox, live news go on as long as they follow each other,
and the listener waits for the rest.
"""

import asyncio
from collections.abc import AsyncIterator

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.events import END, OPENING, OUTCOME, RESULT, SPAN, Event, EventKind
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.task import Task
from orchestrator.operations.patience import patiently
from orchestrator.operations.read import opening, stored
from orchestrator.operations.seal import open_event, open_task
from orchestrator.queue.subscriptions import Gap, Watch
from orchestrator.runtime import Runtime

SILENCE_SECONDS = 30.0
"""After so long without news they are doubted: the last ones may not have been published."""
_OWED_SECONDS = 0.5
_PAGE = 500


async def follow(runtime: Runtime, tenant: Tenant, task_id: TaskId, after: int) -> AsyncIterator[Event]:
    """Yield every event behind `after`, live ones as they come, and stop behind `end`. Raises NotFound at once."""
    place = after
    async with runtime.subscriptions.watch(task_id) as watch:
        await stored(runtime, tenant, task_id)
        while True:
            task = await _recorded(runtime, tenant, task_id)
            last = None
            async for last in _history(runtime, task, place):
                place = last.place
                yield last
            if task.status in FINAL:
                return
            if last is not None and _is_final(last):
                continue  # it ended while its history was read
            if await _owed(runtime, task_id):
                await asyncio.sleep(_OWED_SECONDS)
                continue
            async for event in _live(watch, place):
                place = event.place
                yield open_event(runtime, tenant, event, listed=True)


async def _recorded(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    """The row alone: its history is whole up to what it says. Waits while Postgres is away, or has no row yet."""
    while True:
        task = await patiently(runtime.clock, lambda: runtime.ledger.read(tenant, task_id))
        if task is not None:
            return task
        await stored(runtime, tenant, task_id)  # it is known in Redis, or was pruned
        await asyncio.sleep(_OWED_SECONDS)


async def _owed(runtime: Runtime, task_id: TaskId) -> bool:
    """Whether the task has ended and Postgres does not know yet: its last events come through the outbox."""
    try:
        live = (await runtime.queue.live([task_id])).get(task_id)
    except Unavailable:
        return False
    return live is not None and live.status in FINAL


async def _history(runtime: Runtime, task: Task, after: int) -> AsyncIterator[Event]:
    # Asked before the pages are read: what came before this attempt is committed by now, and so in them.
    started = None if task.status in FINAL else await opening(runtime, task)
    place = after
    while True:
        page = await _page(runtime, task, place)
        for event in page:
            place = event.place
            yield event
        if len(page) < _PAGE:
            break
    latest = (
        _ending(open_task(runtime, task, listed=True)) if task.status in FINAL else [] if started is None else [started]
    )
    for event in latest:
        if event.place > place:
            yield event


async def _page(runtime: Runtime, task: Task, after: int) -> list[Event]:
    events = await patiently(runtime.clock, lambda: runtime.ledger.events(task.tenant, task.id, after, _PAGE))
    return [open_event(runtime, task.tenant, event, listed=True) for event in events]


def _ending(task: Task) -> list[Event]:
    """The result, where there is one, and the end: they follow from the row."""
    at = task.finished_at or task.created_at
    body = {"status": task.status.value, "error": task.error}
    end = Event(task.id, task.fence, END, EventKind.END, body, at)
    if task.status is not State.SUCCEEDED:
        return [end]
    return [Event(task.id, task.fence, RESULT, EventKind.RESULT, task.result, at), end]


async def _live(watch: Watch, after: int) -> AsyncIterator[Event]:
    """Yield live events that follow each other, until history has to be read."""
    place = after
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await watch.next()
        except TimeoutError:
            return
        if isinstance(message, Gap):
            return
        event = message.event
        if event.place <= place:
            continue
        if not _is_next(event, place):
            return
        place = event.place
        yield event


def _is_next(event: Event, place: int) -> bool:
    """Whether nothing can lie between this place and the event; never of an outcome, which may be the last."""
    fence, number = divmod(place, SPAN)
    if event.fence == fence:
        return event.number == number + 1 and event.number != OUTCOME
    return event.number == OPENING and (fence == 0 or number == OUTCOME)


def _is_final(event: Event) -> bool:
    return event.number == OUTCOME and State(event.data["status"]) in FINAL
