"""The one way to Postgres: statements in, rows out; what blames the data raises as it is, all else is one error."""

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
REFUSED = (
    asyncpg.CardinalityViolationError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    TypeError,  # what cannot even be sent
    ValueError,
)
"""The data is to blame: the same statement with the same arguments will never do."""


class Database:
    """Runs single statements, each a transaction of its own, on any connection of the pool.

    Every method raises one of REFUSED when the data is to blame, and Unavailable for whatever else Postgres answers
    or does not answer: it may pass. Whether the statement was committed is unknown then; all statements of the ledger
    may be run again.
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


def is_strange(cause: BaseException | None) -> bool:
    """Whether Postgres answered what no outage explains: a schema that is being migrated, a wrong password, a bug."""
    return isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, AWAY)


async def _answer(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except REFUSED:
        raise
    except (*AWAY, asyncpg.PostgresError) as error:
        raise Unavailable("postgres") from error
