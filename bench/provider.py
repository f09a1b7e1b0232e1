"""A stand-in for Anthropic's API that streams the same answer to everybody at a steady pace.

`python -m bench.provider TOKENS GAP_MS` prints its address and serves until it is ended. Every piece is made beforehand
and written by a timer, so hundreds of streams cost it little.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any, cast

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_WORD = "otters "


class Stream(asyncio.Protocol):
    """One connection: whatever is asked, the answer begins at once, and each piece follows the last after the gap."""

    def __init__(self, tokens: int, gap_seconds: float) -> None:
        self._beginning = _HEAD + b"".join(_chunk(event) for event in _beginning())
        self._token = _chunk({"type": "content_block_delta", "index": 0, "delta": _text(_WORD)})
        self._ending = b"".join(_chunk(event) for event in _ending(tokens)) + _END
        self._tokens = tokens
        self._gap_seconds = gap_seconds
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, _, body = self._heard.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if length and len(body) >= int(length):
            self._heard = b""
            self._transport.write(self._beginning)
            self._write(1, asyncio.get_running_loop().time() + self._gap_seconds)

    def _write(self, number: int, due_at: float) -> None:
        """The pace is kept by the clock: a late piece does not delay those after it."""
        asyncio.get_running_loop().call_at(due_at, self._written, number, due_at)

    def _written(self, number: int, due_at: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._token if number < self._tokens else self._token + self._ending)
        if number < self._tokens:
            self._write(number + 1, due_at + self._gap_seconds)


def _beginning() -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 20, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "bench", "content": []}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}


def _text(text: str) -> dict[str, str]:
    return {"type": "text_delta", "text": text}


def _ending(tokens: int) -> Iterator[dict[str, Any]]:
    yield {"type": "content_block_stop", "index": 0}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}}
    yield {"type": "message_stop"}


def _chunk(event: dict[str, Any]) -> bytes:
    """One server-sent event as one chunk of the body."""
    text = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(text), text)


async def serve(tokens: int, gap_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stream(tokens, gap_seconds), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
