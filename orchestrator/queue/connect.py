"""Connections to Redis, and what it means when it does not answer.

Two clients, because their faults differ. `commands` waits 5 s for an answer and tries again only to connect: a
command whose answer was lost may have been carried out, and is never sent twice. `blocking` waits as long as a
blocking pop does, and tries nothing again: a pop sent twice would lose what the first one took.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hiredis import pack_command
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.domain.errors import Unavailable

_ANSWER_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
_CONNECT_PAUSES_SECONDS = (0.05, 0.1, 0.2)
_HEALTH_CHECK_SECONDS = 15
_COMMAND_CONNECTIONS = 32
_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.MasterDownError,
    exceptions.OutOfMemoryError,
)
_NOT_NOW = re.compile(r"\b(OOM|MISCONF|READONLY|LOADING|MASTERDOWN|NOREPLICAS|BUSY|CLUSTERDOWN|TRYAGAIN)\b")
"""Answers that mean "not now", as they look when a script passes them on."""


class _Patient(Connection):
    """Tries a refused connection a few times more: a server that restarts is back within a moment.

    Commands are packed in C: a script call over a batch has a thousand arguments.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        command = args[0] if isinstance(args[0], bytes) else args[0].encode()
        return [pack_command((*command.split(), *args[1:]))]

    async def connect(self) -> None:
        for pause_seconds in _CONNECT_PAUSES_SECONDS:
            try:
                await super().connect()  # type: ignore[no-untyped-call]
            except exceptions.AuthenticationError:
                raise
            except exceptions.ConnectionError:
                await asyncio.sleep(pause_seconds)
            else:
                return
        await super().connect()  # type: ignore[no-untyped-call]


class _PatientTls(_Patient, SSLConnection):
    """The same over TLS."""


def connect(url: str) -> tuple[Redis, Redis]:
    """Return the clients (commands, blocking); they connect when they are first used. Close both."""
    return Redis.from_pool(_command_pool(url)), Redis.from_pool(_blocking_pool(url))


def _command_pool(url: str) -> ConnectionPool:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_COMMAND_CONNECTIONS,
        timeout=_ANSWER_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_keepalive=True,
        health_check_interval=_HEALTH_CHECK_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    patient: dict[type, type] = {Connection: _Patient, SSLConnection: _PatientTls}
    pool.connection_class = patient.get(pool.connection_class, pool.connection_class)
    return pool


def _blocking_pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


@contextmanager
def answering() -> Iterator[None]:
    """Raise Unavailable when Redis is away or refuses to write. The act may have happened all the same."""
    try:
        yield
    except exceptions.RedisError as error:
        if isinstance(error, _AWAY) or _NOT_NOW.search(str(error)):
            raise Unavailable("redis") from error
        raise
