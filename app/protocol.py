"""HTTP/1.1 on one connection, bounded before the application sees it: uvicorn's own protocol has no such bounds.

A request's head has 10 seconds and 32 KiB, its address 8 KiB, the whole request 75 seconds; what is sent of a body
after it was answered is thrown away for a moment, then the connection ends. So neither a slow sender nor an endless
one holds a connection or memory for longer. Trailers are dropped: they would pass for headers that were checked.

An answer's head leaves together with the body that follows it: each write is a packet of its own, and wakes its reader.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.problems import MEDIA_TYPE, http_problem

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
    400: "this is not HTTP/1.1",
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
        self._refusal = 400
        self._head_bytes = 0
        self._unfinished_bytes = 0
        """Of a header or an address that has not ended yet."""
        self._bare_bytes = 0
        """Received in a row without being a body that is read: trailers, or what comes after the answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end_after(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_after(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._deadline is None:
            self._end_after(HEAD_SECONDS)
        self._bare_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._in_head:
            if self._bare_bytes > MOST_UNREAD_BYTES:
                self._close()
        elif self._has_begun:
            ended = data.rfind(b"\n") + 1
            self._unfinished_bytes = len(data) - ended + (0 if ended else self._unfinished_bytes)
            if self._head_bytes + self._unfinished_bytes > MOST_HEAD_BYTES:
                self._refuse(431)

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
        self._in_head = False
        self._bare_bytes = 0
        self._end_after(REQUEST_SECONDS)
        super().on_headers_complete()
        self.cycle.transport = _Joined(self.transport, self.loop)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            self._bare_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._has_begun = True, False
        self._end_after(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_after(FLUSH_SECONDS, self.transport.abort)
        elif not self._in_head:
            self._end_after(LINGER_SECONDS)

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser stopped at, for the reason that one of our bounds gave, if it was one."""
        self._refuse(self._refusal)

    def _stop(self, status: int) -> None:
        """Have the parser stop, which ends in `send_400_response`."""
        self._refusal = status
        raise ValueError(_DETAILS[status])

    def _refuse(self, status: int) -> None:
        content = orjson.dumps(http_problem(status, _DETAILS[status]).document)
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        if self.cycle is None or self.cycle.response_complete:  # else it would end up inside another answer
            self.transport.write(STATUS_LINE[status] + head.encode() + content)
        self._close()

    def _expire(self) -> None:
        if self._in_head and self._has_begun:
            self._refuse(408)
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
    """What an answer is written to. The head waits for the first piece of the body, one turn of the loop at most."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._head is None:
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._flush(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self, data: bytes = b"") -> None:
        if self._head:
            data = self._head + data
            self._head = b""
        if data:
            self._transport.write(data)
