"""The outermost layer of HTTP: every request passes it, whatever becomes of it.

It gives the request its trace, the answer its standing headers, counts both, and turns what nobody foresaw into a
500 that says nothing of the inside. Plain ASGI, because it is paid for by every request.
"""

import re
from collections.abc import Mapping

import structlog
from sse_starlette.sse import SendTimeoutError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem_of
from app.request_head import check_headers, check_query
from orchestrator.domain.errors import AureaError, InvalidInput

_log = structlog.get_logger("app.edge")

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=-]{1,128}")
_STANDING = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""What every answer says, where its route says nothing else. A browser is to do nothing with our JSON but show it."""
_ONLY_TLS = {b"strict-transport-security": b"max-age=63072000; includeSubDomains"}
_GONE = 499
"""Counted for a client that left before its answer began."""


class Edge:
    """Middleware; expects `app.state.runtime` to be there once the application has started."""

    def __init__(self, app: ASGIApp, *, production: bool = False) -> None:
        self._app = app
        self._standing = {**_STANDING, **_ONLY_TLS} if production else _STANDING

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        runtime = scope["app"].state.runtime
        started = runtime.clock.monotonic()
        headers = dict(scope["headers"])
        given = _given(headers.get(b"traceparent"))
        span = runtime.traces.serve(scope["method"], given)
        traceparent = given or runtime.clock.traceparent() if span is None else span.traceparent
        scope.setdefault("state", {})["traceparent"] = traceparent
        answer = _Answer(send, headers.get(b"x-request-id"), self._standing)
        try:
            await self._answered(scope, receive, answer)
        finally:
            route = scope.get("route")
            template = getattr(route, "path", "unmatched")
            seconds = runtime.clock.monotonic() - started
            runtime.metrics.http(scope["method"], template, answer.status or _GONE, seconds)
            if span is not None:
                span.end(scope["method"], template, answer.status or _GONE)

    async def _answered(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            check_query(scope["query_string"])
            check_headers(scope["headers"])
            await self._app(scope, receive, answer)
        except InvalidInput as error:
            await problem_of(error).response(trace_id_of(scope))(scope, receive, answer)
        except (ClientDisconnect, SendTimeoutError):
            return  # nobody reads any more
        except Exception as error:
            trace_id = trace_id_of(scope)
            _log.exception("request_failed", method=scope["method"], path=scope["path"], trace_id=trace_id)
            scope["app"].state.runtime.reports.send(error, trace_id=trace_id)
            if answer.status:
                raise  # the answer had begun: the server has to cut the connection
            await problem_of(AureaError()).response(trace_id)(scope, receive, answer)


class _Answer:
    """The way out: adds the standing headers and remembers the status."""

    def __init__(self, send: Send, request_id: bytes | None, standing: Mapping[bytes, bytes]) -> None:
        self._send = send
        self._standing = standing
        self._request_id = request_id if request_id and _REQUEST_ID.fullmatch(request_id) else None
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            said = {name for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *((name, value) for name, value in self._standing.items() if name not in said),
            ]
            if self._request_id is not None:
                message["headers"].append((b"x-request-id", self._request_id))
        await self._send(message)


def _given(traceparent: bytes | None) -> str | None:
    return traceparent.decode() if traceparent is not None and _TRACEPARENT.fullmatch(traceparent) else None


def trace_id_of(scope: Scope) -> str:
    traceparent: str = scope["state"]["traceparent"]
    return traceparent[3:35]
