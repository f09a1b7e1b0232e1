"""The hearing side of the live feed: one connection per process, however many listen.

The feed may lose messages, and says so: a `Gap` means that history has to be read again. What is published while
a watch is open is heard, or a Gap is. A connection that is silent is asked whether it lives, and left if it does not
say so. Whatever arrives, and whatever a listener does with it, the listening goes on.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from orchestrator.domain.events import SPAN, Event, EventKind
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.queue.keys import Keys

_log = structlog.get_logger("orchestrator.subscriptions")

BUFFERED_MESSAGES = 1000
_CONFIRM_SECONDS = 2.0
_RECONNECT_SECONDS = 0.2
_SILENCE_SECONDS = 15.0
_PONG_SECONDS = 5.0
_FENCES = range(2**63)
_NUMBERS = range(SPAN)
_EPOCH = datetime.fromtimestamp(0, UTC)

OnControl = Callable[[dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Message:
    """One event, heard live."""

    event: Event


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages may have been missed: the connection was lost, or the listener was too slow."""


class Watch:
    """One listener's view of one task; one coroutine reads it."""

    def __init__(self, task_id: TaskId) -> None:
        self.task_id = task_id
        self._buffer: deque[Message | Gap] = deque()
        self._arrived = asyncio.Event()
        self._confirmed = asyncio.Event()
        self._open = False

    async def next(self) -> Message | Gap:
        """Wait for the next message, or for the news that some were missed."""
        while not self._buffer:
            self._arrived.clear()
            await self._arrived.wait()
        return self._buffer.popleft()

    async def open(self) -> None:
        """Return once nothing can be missed, or after a while when Redis is away: a Gap follows then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await self._confirmed.wait()
        self._open = True

    def confirm(self) -> None:
        """The server listens for us from here on; what came before may have been missed."""
        self._confirmed.set()
        if self._open:
            self.put(Gap())

    def put(self, message: Message | Gap) -> None:
        if len(self._buffer) >= BUFFERED_MESSAGES:
            self._buffer.clear()
            message = Gap()
        self._buffer.append(message)
        self._arrived.set()


class Subscriptions:
    """Every watch of one process. It reconnects for ever."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        """`client` lends one connection for as long as this runs."""
        self._pool = client.connection_pool
        self._keys = keys
        self._control = keys.control.encode()
        self._callbacks: list[OnControl] = []
        self._watches: dict[bytes, set[Watch]] = {}
        self._connection: Any = None
        self._subscribed: set[bytes] = set()
        """Channels asked for on this connection."""
        self._unanswered: Counter[bytes] = Counter()
        """How many SUBSCRIBEs of a channel the server has still to answer: one may come back for an earlier watch."""
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._listening = asyncio.create_task(self._keep_listening())

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    def on_control(self, callback: OnControl) -> None:
        """Hear {"drop": [ids]}, {"queue": name}, and on every new connection {"missed": true}: some may be lost."""
        self._callbacks.append(callback)

    @asynccontextmanager
    async def watch(self, task_id: TaskId) -> AsyncIterator[Watch]:
        """Enter before reading history: what is published from then on is heard, or a Gap is."""
        channel, watch = self._keys.channel(task_id).encode(), Watch(task_id)
        self._watches.setdefault(channel, set()).add(watch)
        try:
            if channel not in self._subscribed:
                await self._subscribe(channel)
            elif not self._unanswered[channel]:
                watch.confirm()
            await watch.open()
            yield watch
        finally:
            self._watches[channel].discard(watch)
            if not self._watches[channel]:
                del self._watches[channel]
                self._subscribed.discard(channel)
                await self._send("UNSUBSCRIBE", channel)

    async def _subscribe(self, *channels: bytes) -> None:
        if self._connection is not None:
            self._subscribed.update(channels)
            self._unanswered.update(channels)
            await self._send("SUBSCRIBE", *channels)

    async def _send(self, command: str, *channels: bytes) -> None:
        """Send without waiting for the answer. A connection that is gone is opened again with every channel."""
        connection = self._connection
        if connection is not None and connection.is_connected:
            # Whatever goes wrong, the client has closed the connection then, and the listening opens it again.
            with suppress(Exception):
                # No health check: its answer would be taken from between the messages.
                await connection.send_command(command, *channels, check_health=False)

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen_once()
            except RedisError:
                pass  # away: it is tried again
            except Exception:  # noqa: BLE001 - every stream of this process hangs on it
                _log.exception("listening_failed")
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        connection.listens = True
        try:
            await self._listen(connection)
        finally:
            connection.listens = False
            self._connection = None
            self._subscribed.clear()
            self._unanswered.clear()
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _listen(self, connection: Any) -> None:
        """Hear until the connection ends, or does not answer."""
        self._connection = connection
        await self._subscribe(self._control, *self._watches)
        asked = False
        while True:
            answer = await connection.read_response(timeout=_PONG_SECONDS if asked else _SILENCE_SECONDS)
            if answer is None:
                if asked:
                    return
                await self._send("PING")
            elif answer[0] == b"subscribe":
                self._confirm(answer[1])
            elif answer[0] == b"message":
                self._hear(answer[1], answer[2])
            asked = answer is None

    def _confirm(self, channel: bytes) -> None:
        self._unanswered[channel] -= 1
        if self._unanswered[channel]:
            return
        del self._unanswered[channel]
        for watch in self._watches.get(channel, ()):
            watch.confirm()
        if channel == self._control:
            self._call({"missed": True})

    def _hear(self, channel: bytes, content: bytes) -> None:
        body = _parse(content)
        if channel == self._control:
            self._call(_news(body))
            return
        event = _event(TaskId(channel.decode().removeprefix(self._keys.live)), body)
        if event is not None:
            for watch in self._watches.get(channel, ()):
                watch.put(Message(event))

    def _call(self, news: dict[str, object]) -> None:
        for callback in self._callbacks if news else ():
            try:
                callback(news)
            except Exception:  # noqa: BLE001 - one listener must not silence the others
                _log.exception("control_callback_failed")


def _parse(content: bytes) -> dict[str, Any]:
    """Anyone who can publish here can publish anything: what is not ours is heard as nothing."""
    try:
        body = orjson.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _news(body: dict[str, Any]) -> dict[str, object]:
    """What callbacks may rely on: the ids of `drop` and the name of `queue` are text."""
    news: dict[str, object] = {}
    if isinstance(body.get("drop"), list):
        news["drop"] = [dropped for dropped in body["drop"] if isinstance(dropped, str)]
    if isinstance(body.get("queue"), str):
        news["queue"] = body["queue"]
    return news


def _event(task_id: TaskId, body: dict[str, Any]) -> Event | None:
    try:
        fence, number = int(body["fence"]), body["number"]
        if fence not in _FENCES or type(number) is not int or number not in _NUMBERS:
            return None
        at = _EPOCH + timedelta(microseconds=body["at"])
        return Event(task_id, Fence(fence), number, EventKind(body["kind"]), body["data"], at)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
