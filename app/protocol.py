"""HTTP/1.1 on one connection, bounded before the application sees it: uvicorn's own protocol has no such bounds.

A request's head has 10 seconds and 32 KiB, its address 8 KiB, the whole request 75 seconds; what is sent of a body
after it was answered is thrown away for a moment, then the connection ends. So neither a slow sender nor an endless
one holds a connection or memory for longer. Trailers are dropped: they would pass for headers that were checked.

A request that cannot be read is told so in its turn, behind the answers to those before it, and nothing is read after
it.

An answer's head leaves together with the body that follows it: each write is a packet of its own, and wakes its reader.
"""

import asyncio
from collections.abc import Callable
from secrets import token_hex
from typing import Any

import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.framing import NOT_HTTP, fault_of
from app.problems import MEDIA_TYPE, http_problem

_log = structlog.get_logger("app.protocol")

HEAD_SECONDS = 10.0
REQUEST_SECONDS = 75.0
"""More than `request_body.PATIENCE_SECONDS`, which ends with an answer."""
LINGER_SECONDS = 5.0
"""For the rest of a body that nobody reads: cut off at once, the sender might not see its answer."""
FLUSH_SECONDS = 60.0
"""For an answer to be taken, once it was written whole."""
MOST_HEAD_BYTES = 32 * 1024
MOST_TARGET_BYTES = 8 * 1024
MOST_HEADERS = 100
MOST_UNREAD_BYTES = 64 * 1024

_DETAILS = {
    400: NOT_HTTP,
    408: f"the request's head did not arrive within {HEAD_SECONDS:.0f} seconds",
    414: f"the address is longer than {MOST_TARGET_BYTES} bytes",
    431: f"the headers are more than {MOST_HEADERS}, or longer than {MOST_HEAD_BYTES} bytes",
}


class Bounded(HttpToolsProtocol):
    """One connection; give it to uvicorn as `http`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        self._has_begun = False
        self._found = 400, NOT_HTTP
        """Why the parser stops, if it does."""
        self._refusal: bytes | None = None
        """The last that is said here; nothing is read any more."""
        self._head_bytes = 0
        self._unfinished_bytes = 0
        """Of a header or an address that has not ended yet."""
        self._bare_bytes = 0
        """Received in a row without being a body that is read: trailers, or what comes after the answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._answers = _Joined(transport, self.loop)
        self._end_after(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_after(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._bare_bytes += len(data)
        if self._refusal is None:
            if self._deadline is None:
                self._end_after(HEAD_SECONDS)
            super().data_received(data)
        if self.transport.is_closing():
            return
        if self._refusal is not None or not self._in_head:
            if self._bare_bytes > MOST_UNREAD_BYTES:
                self._close()
        elif self._has_begun:
            ended = data.rfind(b"\n") + 1
            self._unfinished_bytes = len(data) - ended + (0 if ended else self._unfinished_bytes)
            if self._head_bytes + self._unfinished_bytes > MOST_HEAD_BYTES:
                self._refuse(431, _DETAILS[431])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._has_begun = True
        self._head_bytes = self._unfinished_bytes = 0
        if self._deadline is None:
            self._end_after(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MOST_TARGET_BYTES:
            self._stop(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MOST_HEAD_BYTES or len(self.headers) > MOST_HEADERS:
            self._stop(431)

    def on_headers_complete(self) -> None:
        fault = fault_of(self.parser.get_http_version(), self.url, self.headers)
        if fault is not None:
            self._stop(400, fault)
        super().on_headers_complete()
        self._in_head = False
        self._bare_bytes = 0
        self._end_after(REQUEST_SECONDS)
        self.cycle.transport = self._answers  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            self._bare_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._has_begun = True, False
        self._end_after(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._answers.end()
        was_last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_after(FLUSH_SECONDS, self.transport.abort)
        elif self._refusal is not None:
            if was_last:
                self._say(self._refusal)
        elif not self._in_head:
            self._end_after(LINGER_SECONDS)

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser stopped at, for the reason that we gave, if it was ours."""
        self._refuse(*self._found)

    def _stop(self, status: int, detail: str | None = None) -> None:
        """Have the parser stop, which ends in `send_400_response`."""
        self._found = status, detail or _DETAILS[status]
        raise ValueError(self._found[1])

    def _refuse(self, status: int, detail: str) -> None:
        """Read no more, and say why: at once, or when those before it are answered."""
        trace_id = token_hex(16)
        _log.info("request_unreadable", status=status, reason=detail, trace_id=trace_id)
        content = orjson.dumps({**http_problem(status, detail).document, "trace_id": trace_id})
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        self._refusal = STATUS_LINE[status] + head.encode() + content
        self._bare_bytes = 0
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and self._in_head):
            self._say(self._refusal)
        elif self._in_head:
            self._end_after(None)
        elif self.pipeline:  # the fault is in the body of the last of them, which nobody has begun with
            self.pipeline.popleft()
            self._end_after(None)
        elif cycle.response_started:  # it would end up inside that answer, or pass for one to the next request
            self._close()
        else:
            cycle.disconnected = True  # for the application: it reads the end of the connection, and is not listened to
            cycle.message_event.set()
            self._say(self._refusal)

    def _say(self, refusal: bytes) -> None:
        """Write the last answer and end our side; closed at once, its reader might lose it with what he still sends."""
        self.transport.write(refusal)
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._end_after(LINGER_SECONDS, self._close)
        else:
            self._close()

    def _expire(self) -> None:
        if self._in_head and self._has_begun:
            self._refuse(408, _DETAILS[408])
        else:
            self._close()

    def _close(self) -> None:
        self.transport.close()
        self._end_after(FLUSH_SECONDS, self.transport.abort)

    def _end_after(self, seconds: float | None, end: Callable[[], None] | None = None) -> None:
        """Set when this connection ends unless what it waits for comes first; None waits for the application."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, end or self._expire)


class _Joined:
    """What answers are written to, one after the other. A head waits for the first piece of its body, one turn of the
    loop at most.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._has_begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._has_begun:
            self._flush(data)
        else:
            self._has_begun, self._head = True, data
            self._loop.call_soon(self._flush)

    def end(self) -> None:
        """What is written next begins another answer."""
        self._flush()
        self._has_begun = False

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self, data: bytes = b"") -> None:
        data, self._head = self._head + data, b""
        if data:
            self._transport.write(data)
