"""The live feed: what happens to tasks now, told to those who watch.

A message on `aurea:live:{id}` is JSON {fence, number, kind, data, at}, the fence as text and `at` in µs. What
handlers tell and what operations decide is published here, claims and settlements by their scripts. It is heard
through `subscriptions.py`. A stream `aurea:log:{id}` keeps the last things told for a day.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.queue.connect import answering
from orchestrator.queue.keys import Keys
from orchestrator.queue.scripts import Arg, Scripts

LOG_EVENTS = 1000
LOG_SECONDS = 86_400
_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)


class Feed:
    """The telling side. What it is given is history already: whoever misses it here reads it there."""

    def __init__(self, commands: Redis, keys: Keys) -> None:
        self._commands = commands
        self._keys = keys
        self._run = Scripts(commands).run

    async def tell(self, events: Sequence[Told]) -> None:
        """Append events to their tasks' streams and publish them, in one round trip. Raises Unavailable.

        An event that is not behind the last one of its stream is published all the same.
        """
        pipeline = self._commands.pipeline(transaction=False)
        for event in events:
            log, at_us = self._keys.log(event.task_id), _microseconds(event.at)
            fields: dict[Any, Any] = {"kind": event.kind.value, "data": event.data, "at": at_us}
            pipeline.xadd(log, fields, id=f"{event.fence}-{event.number}", maxlen=LOG_EVENTS, approximate=True)
            message = _message(event.fence, event.number, event.kind, orjson.Fragment(event.data), at_us)
            pipeline.publish(self._keys.channel(event.task_id), message)
        for task_id in {event.task_id for event in events}:
            pipeline.expire(self._keys.log(task_id), LOG_SECONDS)
        with answering():
            for reply in await pipeline.execute(raise_on_error=False):
                if isinstance(reply, Exception) and not _is_behind(reply):
                    raise reply
        await self._note_progress(events)

    async def _note_progress(self, events: Sequence[Told]) -> None:
        newest = {event.task_id: event for event in events if event.kind is EventKind.PROGRESS}
        if newest:
            args: list[Arg] = []
            for event in newest.values():
                args += (event.task_id, event.fence, event.data)
            await self._run("progress", (self._keys.tasks,), args)

    async def publish_status(
        self, task_id: TaskId, fence: Fence, number: int, data: dict[str, Any], at: datetime | None
    ) -> None:
        """Publish a status that an operation gave a task; `at` None is now. Raises Unavailable."""
        with answering():
            if at is None:
                seconds, microseconds = await self._commands.time()
                at = _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
            message = _message(fence, number, EventKind.STATUS, data, _microseconds(at))
            await self._commands.publish(self._keys.channel(task_id), message)


def _message(fence: Fence, number: int, kind: EventKind, data: Any, at_us: int) -> bytes:
    return orjson.dumps({"fence": str(fence), "number": number, "kind": kind.value, "data": data, "at": at_us})


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _is_behind(reply: Exception) -> bool:
    """Whether the stream holds this event, or a later one, already."""
    return isinstance(reply, ResponseError) and "equal or smaller" in str(reply)
