"""The one way to Postgres: statements in, rows out, and every kind of "away" as one error."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import asyncpg

from orchestrator.domain.errors import Unavailable

T = TypeVar("T")

AWAY = (
    OSError,  # refused, reset, timed out
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # a deadlock or a conflict: nothing was done
    asyncpg.ReadOnlySQLTransactionError,  # a standby, in the middle of a failover
    asyncpg.InterfaceError,  # the connection or the pool is closed
    asyncpg.InternalClientError,  # the server's farewell has come, the end of the connection has not
)


class Database:
    """Runs single statements, each a transaction of its own, on any connection of the pool.

    Every method raises Unavailable when Postgres cannot be reached or cannot serve now. Whether the statement was
    committed is unknown then; all statements of the ledger may be run again.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def rows(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        return await _answer(self._pool.fetch(sql, *arguments))

    async def row(self, sql: str, *arguments: Any) -> asyncpg.Record | None:
        return await _answer(self._pool.fetchrow(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        """Return the first column of the first row; None when there is none."""
        return await _answer(self._pool.fetchval(sql, *arguments))

    async def change(self, sql: str, *arguments: Any) -> int:
        """Return how many rows the statement wrote."""
        command: str = await _answer(self._pool.execute(sql, *arguments))
        return int(command.rpartition(" ")[2])


async def _answer(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except AWAY as error:
        raise Unavailable("postgres") from error
