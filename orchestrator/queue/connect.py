"""Connections to Redis, and what it means when it does not answer.

An address is that of one server, or of a group of which one is the primary: see `addresses` and `primaries`. Two
clients, because their faults differ. `commands` answers within 2 s, all in all, and tries again only to connect: a
command whose answer was lost may have been carried out, and is never sent twice. `blocking` waits as long as its
caller does, and sends nothing twice either: what a pop took whose connection died is put back by the sweep, or taken
over when its lease runs out, if it was claimed along with the pop.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from hiredis import pack_command
from redis import exceptions
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.domain.errors import Unavailable
from orchestrator.queue.addresses import Address, parse
from orchestrator.queue.keys import Keys
from orchestrator.queue.primaries import Primary, holding, named

ANSWER_SECONDS = 1.7
"""For a command or a pipeline with all that belongs to it: the wait for a connection, its opening, the answer."""
_WAKING_SECONDS = 0.1
_CONNECT_PAUSES_SECONDS = (0.05, 0.1, 0.2)
_HEALTH_CHECK_SECONDS = 15
_COMMAND_CONNECTIONS = 32
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPALIVE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
"""In seconds and probes, where the platform has them: a dead peer of an idle connection is known after 30 s."""
_LINE: dict[str, Any] = {
    "socket_timeout": None,
    "socket_connect_timeout": ANSWER_SECONDS,
    "socket_keepalive": True,
    "socket_keepalive_options": _KEEPALIVE,
    "retry": Retry(NoBackoff(), 0),
    "protocol": 2,
}
_AWAY = (exceptions.ConnectionError, exceptions.TimeoutError)
_NOT_NOW = re.compile(
    r"\b(OOM|MISCONF|READONLY|UNBLOCKED|LOADING|MASTERDOWN|NOREPLICAS|BUSY|CLUSTERDOWN|TRYAGAIN|MOVED|ASK)\b"
    "|max number of clients|max concurrent connections|max (daily )?requests? limit exceeded|capacity quota exceeded"
)
"""Answers that mean "not now", also as they look when a script passes them on; the last ones are of hosted servers."""
_WRONG_SERVER = re.compile(r"\b(READONLY|UNBLOCKED|MASTERDOWN|CLUSTERDOWN|MOVED)\b")
"""Those of a server that is not the primary, or not of our slot, or not any more."""


class _Once(Redis):
    """Sends a command once. redis-py's own way adds retries, notices and statistics: half of what a command costs."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        connection = await self.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_command(*args)
            return await self.parse_response(connection, args[0], **options)
        finally:
            await self.connection_pool.release(connection)


class _Prompt(_Once):
    """Bounds whole commands, not the steps of one: a server that is frozen must not hold up each of them in turn."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _PromptPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _PromptPipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await super().execute(raise_on_error)


class _Patient(Connection):
    """Leads to the primary, and leaves it when it is that no more: another one may be, or the name may lead to it.

    It tries a refused connection a few times more: a server that restarts is back within a moment.
    Commands are packed in C: a script call over a batch has a thousand arguments.
    """

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        super().__init__(**options)
        self._primary = primary
        self._turn = 0
        self.listens = False
        """Whether nothing is asked over it, so that nobody would notice that it leads to the wrong server."""

    def pack_command(self, *args: Any) -> list[bytes]:
        command = args[0] if isinstance(args[0], bytes) else args[0].encode()
        return [pack_command((*command.split(), *args[1:]))]

    async def connect(self) -> None:
        if self.is_connected and self._turn == self._primary.turn:
            return
        if self.is_connected:
            await self.disconnect(nowait=True)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._keep_connecting()
        except TimeoutError as error:
            raise exceptions.TimeoutError("it takes a connection and does not answer") from error

    async def _keep_connecting(self) -> None:
        for pause_seconds in _CONNECT_PAUSES_SECONDS:
            try:
                await self._connect_once()
            except exceptions.AuthenticationError:
                raise
            except exceptions.ConnectionError:
                await asyncio.sleep(pause_seconds)
            else:
                return
        await self._connect_once()

    async def _connect_once(self) -> None:
        place = await self._primary.find()
        if place is not None:
            self.host, self.port = place
        self._turn = self._primary.turn
        await super().connect()  # type: ignore[no-untyped-call]

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        self._abort()  # else closing waits until a frozen server has taken what was sent
        await super().disconnect(*args, **kwargs)

    def end_listening(self) -> None:
        """The turn ended: whoever listens hears that the connection ended."""
        if self.listens:
            self._abort()

    def _abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)
        except exceptions.ResponseError as error:
            if _WRONG_SERVER.search(_text(error)):
                self._primary.doubt(self._turn)
                await self.disconnect(nowait=True)
            raise


class _PatientTls(_Patient, SSLConnection):
    """The same over TLS."""


_PATIENT: dict[type, type] = {Connection: _Patient, SSLConnection: _PatientTls}


class _Pool(ConnectionPool):
    """Lends connections, at most `max_connections` at once.

    redis-py's own pool does so under a lock, with notices and statistics that take as long as the command.
    """

    def __init__(self, *args: Any, primary: Primary, **options: Any) -> None:
        super().__init__(*args, primary=primary, **options)
        self._room = asyncio.Semaphore(self.max_connections)
        primary.on_turn(self._end_listening)

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        await self._room.acquire()
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        self._in_use_connections.remove(connection)
        try:
            if connection.should_reconnect():
                await connection.disconnect()
        finally:
            self._available_connections.append(connection)
            self._room.release()

    def _end_listening(self) -> None:
        for connection in self._in_use_connections:
            connection.end_listening()  # type: ignore[attr-defined]


def connect(url: str, namespace: str = "aurea") -> tuple[Redis, Redis]:
    """Return the clients (commands, blocking); they connect when they are first used. Close both.

    On a cluster they lead to the primary of the shard that holds this namespace. Raises ValueError for a wrong address.
    """
    address = parse(url)
    primary = _primary(address, namespace)
    commands = _Pool.from_url(
        address.url,
        primary=primary,
        max_connections=_COMMAND_CONNECTIONS,
        health_check_interval=_HEALTH_CHECK_SECONDS,
        **_LINE,
    )
    blocking = _Pool.from_url(address.url, primary=primary, max_connections=32, **_LINE)
    for pool in (commands, blocking):
        pool.connection_class = _PATIENT[pool.connection_class]
    return _Prompt.from_pool(commands), _Once.from_pool(blocking)


def _primary(address: Address, namespace: str) -> Primary:
    options: dict[str, Any] = {**_LINE, **parse_url(address.url)}
    line = options.pop("connection_class", Connection)
    if address.kind == "sentinel":  # a server of its own kind: no database, and a password of its own
        options |= {"username": None, "password": address.sentinel_password, "db": 0}
    questions = {"sentinel": named(address.service), "cluster": holding(Keys(namespace).epoch)}
    return Primary(
        lambda endpoint: line(**options | {"host": endpoint.host, "port": endpoint.port}),
        address.endpoints,
        questions.get(address.kind),
    )


async def ask_at_once(client: Redis, *commands: Sequence[Any]) -> list[Any]:
    """Send commands at once over one connection; return their replies, the server's errors among them."""
    connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.send_packed_command([part for each in commands for part in connection.pack_command(*each)])
        return [await _reply_or_error(connection) for _ in commands]
    finally:
        await client.connection_pool.release(connection)


async def _reply_or_error(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except exceptions.ResponseError as error:
        return error


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after so long. A process that was stopped meanwhile wakes up with its answer waiting: that is
    read before anything is given up.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:
        over = loop.call_later(seconds, lambda: bound.reschedule(loop.time() + _WAKING_SECONDS))
        try:
            yield
        finally:
            over.cancel()


@contextmanager
def answering() -> Iterator[None]:
    """Raise Unavailable when Redis is away or refuses to write. The act may have happened all the same."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable("redis") from (error if error.args else TimeoutError("no answer in time"))
    except exceptions.RedisError as error:
        if isinstance(error, _AWAY) or _NOT_NOW.search(_text(error)):
            raise Unavailable("redis") from error
        raise


def _text(error: exceptions.RedisError) -> str:
    """What the server said: the client takes a code that it recognises off the text."""
    return f"{error.status_code} {error}"
