"""Following: one task's events, from any place to its end, without a gap and without a repeat.

The listener is registered first, then history is read, then live messages behind the last place are passed on. When
messages may have been missed (a reconnect, an overflow) history is read again. Places only grow, so whatever
arrives twice is recognised.
"""

from collections.abc import AsyncIterator

from orchestrator.domain.events import END, OUTCOME, RESULT, Event, EventKind
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.task import Task
from orchestrator.operations.read import get, opening
from orchestrator.queue.subscriptions import Gap, Message, Watch
from orchestrator.runtime import Runtime

_PAGE = 500


async def follow(runtime: Runtime, tenant: Tenant, task_id: TaskId, after: int) -> AsyncIterator[Event]:
    """Yield every event behind `after`, live ones as they come, and stop behind `end`. Raises NotFound at once."""
    place = after
    async with runtime.subscriptions.watch(task_id) as watch:
        while True:
            task = await get(runtime, tenant, task_id)
            async for event in _history(runtime, task, place):
                place = event.place
                yield event
            if task.status in FINAL:
                return
            async for event in _live(watch, place):
                place = event.place
                yield event


async def _history(runtime: Runtime, task: Task, after: int) -> AsyncIterator[Event]:
    place = after
    while True:
        page = await runtime.ledger.events(task.tenant, task.id, place, _PAGE)
        for event in page:
            place = event.place
            yield event
        if len(page) < _PAGE:
            break
    if task.status not in FINAL:
        started = await opening(runtime, task)
        if started is not None and started.place > place:
            yield started
        return
    for event in _ending(task):
        if event.place > place:
            yield event


def _ending(task: Task) -> list[Event]:
    """The result, where there is one, and the end: they follow from the row."""
    at = task.finished_at or task.created_at
    body = {"status": task.status.value, "error": task.error}
    end = Event(task.id, task.fence, END, EventKind.END, body, at)
    if task.status is not State.SUCCEEDED:
        return [end]
    return [Event(task.id, task.fence, RESULT, EventKind.RESULT, task.result, at), end]


async def _live(watch: Watch, after: int) -> AsyncIterator[Event]:
    """Yield live events until history has to be read: after a gap, or because the task has ended."""
    place = after
    while True:
        message = await watch.next()
        if isinstance(message, Gap) or _ends(message):
            return
        if message.event.place > place:
            place = message.event.place
            yield message.event


def _ends(message: Message) -> bool:
    event = message.event
    return event.kind is EventKind.STATUS and event.number == OUTCOME and State(event.data["status"]) in FINAL
