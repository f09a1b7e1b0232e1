"""A small HTTP server for fakes: it answers in pieces, can fall silent, and can cut the line in the middle.

It runs on a thread with an event loop of its own, so that a test may be blocking, asynchronous, or another process. A
fake subclasses `WireServer` and says in `answer` what comes back. `asked` holds every request, in order.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import orjson


@dataclass
class Asked:
    """One request. `json` is its body, or None where it has none."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else None


@dataclass
class Pause:
    """Say nothing for so long."""

    seconds: float


class Cut:
    """End the connection here, in the middle of the answer."""


@dataclass
class Answered:
    """What comes back: the pieces one after the other, each at once."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes | Pause | Cut] = ()


def answered(status: int, document: Any, **headers: str) -> Answered:
    """A JSON document; `retry_after` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answered(status, {"content-type": "application/json", **named}, [orjson.dumps(document)])


class WireServer(ABC):
    """Use it as a context manager; `url` has no slash at the end."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.open = 0
        """How many answers are on their way."""
        self.most_open = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name=type(self).__name__)
        self._connections: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @abstractmethod
    def answer(self, asked: Asked) -> Answered:
        """Say what comes back."""

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def idle(self) -> None:
        """Return when no answer is on its way."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._idle.wait(), self._loop))

    async def _stop(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while asked := await _request(reader):
                self.asked.append(asked)
                if not await self._respond_while_listened_to(reader, writer, asked):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has left, or the test is over
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _respond_while_listened_to(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked
    ) -> bool:
        responding = asyncio.create_task(self._respond(writer, asked))
        leaving = asyncio.create_task(reader.read(1))  # a client says nothing while it is answered
        try:
            await asyncio.wait([responding, leaving], return_when=asyncio.FIRST_COMPLETED)
            return responding.done() and responding.result()
        finally:
            responding.cancel()
            leaving.cancel()
            await asyncio.gather(responding, leaving, return_exceptions=True)

    async def _respond(self, writer: asyncio.StreamWriter, asked: Asked) -> bool:
        """Whether the connection can be used again."""
        self.open += 1
        self._idle.clear()
        self.most_open = max(self.most_open, self.open)
        try:
            response = self.answer(asked)
            lines = [f"HTTP/1.1 {response.status} Status", "transfer-encoding: chunked"]
            lines += [f"{name}: {value}" for name, value in response.headers.items()]
            head: bytes | None = ("\r\n".join(lines) + "\r\n\r\n").encode()
            for piece in response.pieces:
                if isinstance(piece, Pause):
                    await asyncio.sleep(piece.seconds)
                    continue
                if isinstance(piece, Cut):
                    return False
                writer.write((head or b"") + b"%x\r\n%s\r\n" % (len(piece), piece))
                head = None
                await writer.drain()
            writer.write((head or b"") + b"0\r\n\r\n")
            await writer.drain()
            return True
        finally:
            self.open -= 1
            if not self.open:
                self._idle.set()


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    url = urlsplit(target)
    return Asked(method, url.path, parse_qs(url.query), headers, body)
