"""/stream/{id}: a task's events as they happen, from any place to its end (server-sent events)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from app.deps import PrincipalOf, TaskIdOf, desk_of
from app.render import event_frame
from orchestrator.domain.errors import InvalidInput, Issue, NotFound
from orchestrator.domain.events import END, SPAN, Event, parse_event_id
from orchestrator.domain.principal import Kind
from orchestrator.domain.states import FINAL
from orchestrator.operations import read
from orchestrator.operations.follow import follow

HEARTBEAT_SECONDS = 15
_DEAF_SECONDS = 60
"""A reader that takes nothing for so long is cut off; it resumes where it was."""

_FAREWELL_SECONDS = 0.5

router = APIRouter(tags=["stream"])


@router.get("/stream/{id}", operation_id="stream_follow", response_class=EventSourceResponse)
async def stream(
    request: Request,
    task_id: TaskIdOf,
    principal: PrincipalOf,
    resume: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    last_event_id: Annotated[str, Query(description="For clients that cannot set the header.")] = "",
) -> Response:
    """Follow a task: events `status` `log` `progress` `token` `result` and a last `end`, each with a growing id.

    Resumes behind `Last-Event-ID` without a gap or a repeat. A task that has ended is replayed and closed; 204 when
    there is nothing behind the id, which tells browsers to stop reconnecting.
    """
    desk = desk_of(request)
    if not desk.sse:
        raise NotFound("streams are switched off here: set ENABLE_SSE=true")
    after = _place(last_event_id if resume is None else resume)
    task = await read.get(desk.runtime, principal.tenant, task_id)
    if task.status in FINAL and after >= task.fence * SPAN + END:
        return Response(status_code=204)
    events = follow(desk.runtime, principal.tenant, task_id, after)
    ended = None if principal.kind is Kind.ADMIN else partial(desk.identities.until_ended, principal)
    return EventStream(
        _frames(events), ended, ping=HEARTBEAT_SECONDS, ping_message_factory=_heartbeat, send_timeout=_DEAF_SECONDS
    )


class EventStream(EventSourceResponse):
    """A stream that ends properly with the server's own leaving, or with the key or token that it was opened with.

    Its reader sees an end, not a cut.
    """

    def __init__(
        self, frames: AsyncGenerator[bytes, None], ended: Callable[[], Coroutine[Any, Any, None]] | None, **options: Any
    ) -> None:
        """`ended` returns when the reader may not read on; None: never."""
        super().__init__(frames, **options)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._ended is None:
            await super().__call__(scope, receive, send)
        else:
            await _unless(self._ended, super().__call__(scope, receive, send))
        if self.active:  # neither the events nor the reader ended it
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _unless(ended: Callable[[], Coroutine[Any, Any, None]], streaming: Coroutine[Any, Any, None]) -> None:
    """Stream until the other returns, or breaks."""
    stream, watch = asyncio.create_task(streaming), asyncio.create_task(ended())
    try:
        await asyncio.wait({stream, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watch.cancel()
        stream.cancel()
        await asyncio.gather(stream, watch, return_exceptions=True)
    if not stream.cancelled():
        stream.result()


async def _frames(events: AsyncIterator[Event]) -> AsyncGenerator[bytes, None]:
    """One frame at a time: the server takes the next when the socket has room, so a slow reader holds no memory."""
    async with aclosing(events) as open_events:  # type: ignore[type-var]
        async for event in open_events:
            yield event_frame(event)


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(comment="heartbeat", sep="\n")


def _place(event_id: str) -> int:
    try:
        return parse_event_id(event_id)
    except InvalidInput as error:
        raise InvalidInput(str(error), [Issue("/last_event_id", "send the id of the last event you have")]) from None
