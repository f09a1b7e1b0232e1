"""The one way to Postgres: statements in, rows out; what blames the data raises as it is, all else is one error."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import asyncpg

from orchestrator.domain.errors import Unavailable

BRISK_SECONDS = 1.2
"""For what somebody waits for: a write of an attempt, an answer of the API. No statement of ours takes so long."""
UNHURRIED_SECONDS = 30.0
"""For chores over many rows."""
_LEAVE_SECONDS = 1.0
"""How long a connection may take to be of use again."""
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

    Every method raises one of REFUSED when the data is to blame, and Unavailable for whatever else Postgres answers,
    or when it has not answered by the deadline, the wait for a connection included: it may pass. Whether the
    statement was committed is unknown then; all statements of the ledger may be run again.
    """

    def __init__(self, pool: asyncpg.Pool | None, deadline_seconds: float = BRISK_SECONDS) -> None:
        """Without a pool, as in an isolated worker, Postgres is away for good."""
        self._pool = pool
        self._deadline_seconds = deadline_seconds
        self._leaving: set[asyncio.Task[None]] = set()

    async def rows(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        answer: list[asyncpg.Record] = await self._answer("fetch", sql, arguments)
        return answer

    async def row(self, sql: str, *arguments: Any) -> asyncpg.Record | None:
        return await self._answer("fetchrow", sql, arguments)

    async def value(self, sql: str, *arguments: Any) -> Any:
        """Return the first column of the first row; None when there is none."""
        return await self._answer("fetchval", sql, arguments)

    async def change(self, sql: str, *arguments: Any) -> int:
        """Return how many rows the statement wrote."""
        command: str = await self._answer("execute", sql, arguments)
        return int(command.rpartition(" ")[2])

    async def _answer(self, asking: str, sql: str, arguments: tuple[Any, ...]) -> Any:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._ask(asking, sql, arguments)
        except REFUSED:
            raise
        except TimeoutError as error:
            late = TimeoutError(f"no answer within {self._deadline_seconds} s")
            raise Unavailable("postgres") from (error if error.args else late)
        except (*AWAY, asyncpg.PostgresError) as error:
            raise Unavailable("postgres") from error

    async def _ask(self, asking: str, sql: str, arguments: tuple[Any, ...]) -> Any:
        if self._pool is None:
            raise Unavailable("postgres")
        connection = await self._pool.acquire()
        try:
            answer = await getattr(connection, asking)(sql, *arguments)
        except asyncio.CancelledError:
            self._leave(self._pool.release(connection, timeout=_LEAVE_SECONDS))
            raise
        except BaseException:
            await self._pool.release(connection, timeout=_LEAVE_SECONDS)
            raise
        await self._pool.release(connection, timeout=_LEAVE_SECONDS)
        return answer

    def _leave(self, release: Coroutine[Any, Any, None]) -> None:
        """Give back a connection whose answer nobody waits for any more.

        asyncpg asks the server to stop, and waits until it has. A server that does not answer that either loses the
        connection; the pool opens another.
        """
        leaving = asyncio.create_task(release)
        self._leaving.add(leaving)  # or it might be collected before it ends
        leaving.add_done_callback(self._left)

    def _left(self, leaving: asyncio.Task[None]) -> None:
        self._leaving.discard(leaving)
        if not leaving.cancelled():
            leaving.exception()  # taken, or asyncio would complain


def is_strange(cause: BaseException | None) -> bool:
    """Whether Postgres answered what no outage explains: a schema that is being migrated, a wrong password, a bug."""
    return isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, AWAY)
