"""A light HTTP client that keeps an API busy: a fixed number of connections, each with one request at a time.

It speaks just enough HTTP/1.1 for that, because a full client costs more processor time than the server under test.
"""

import asyncio
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

CREATED = b" 201 "


class Unexpected(Exception):
    """The server answered something else than 201."""


async def post(url: str, token: str, body: bytes, requests: int, connections: int) -> None:
    """POST the same body this many times and return when all are answered. Raises Unexpected."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 80
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    turns = iter(range(requests))
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Poster(head.encode() + body, turns), host, port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(poster.run() for _, poster in opened))


class _Poster(asyncio.Protocol):
    """One connection: the next request goes out as soon as the answer to the last is complete."""

    def __init__(self, request: bytes, turns: Iterator[int]) -> None:
        self._request = request
        self._turns = turns
        self._heard = b""
        self._finished = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self._send()
        await self._finished
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._heard[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._heard) < end + 4 + length:
            return
        if CREATED not in head[:16]:
            self._finish(Unexpected(self._heard.decode(errors="replace")))
            return
        self._heard = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(Unexpected(f"the server closed the connection: {exc}"))

    def _send(self) -> None:
        if next(self._turns, None) is None:
            self._finish(None)
        else:
            self._transport.write(self._request)

    def _finish(self, error: Exception | None) -> None:
        if self._finished.done():
            return
        if error is None:
            self._finished.set_result(None)
        else:
            self._finished.set_exception(error)
