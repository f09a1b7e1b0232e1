"""The one way to Postgres: statements in, rows out; what blames the data raises as it is, all else is one error."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from copy import copy
from typing import Any, Self

import asyncpg
import orjson

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Tenant
from orchestrator.ledger.statements import load

_SQL = load("database")

BRISK_SECONDS = 1.2
"""For what somebody waits for: a write of an attempt, an answer of the API. No statement of ours takes so long."""
UNHURRIED_SECONDS = 30.0
"""For chores over many rows."""
_LEAVE_SECONDS = 1.0
"""How long a connection may take to be of use again."""
_APP_ROLE = "aurea_app"
"""Who answers a tenant: row level security holds for it, whoever logged in."""
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


Talk = Callable[[asyncpg.Connection], Awaitable[Any]]
"""What is asked on one connection; its answer."""


class Database:
    """Runs single statements, each a transaction of its own, on any connection of the pool.

    As it is, it sees the rows of all tenants: for work of the whole system. What answers a tenant is asked of `of`.

    Every method raises one of REFUSED when the data is to blame, and Unavailable for whatever else Postgres answers,
    or when it has not answered by the deadline, the wait for a connection included: it may pass. Whether the
    statement was committed is unknown then; all statements of the ledger may be run again.
    """

    def __init__(self, pool: asyncpg.Pool | None, deadline_seconds: float = BRISK_SECONDS) -> None:
        """Without a pool, as in an isolated worker, Postgres is away for good."""
        self._pool = pool
        self._deadline_seconds = deadline_seconds
        self._leaving: set[asyncio.Task[None]] = set()
        self._tenant: Tenant | None = None

    def of(self, tenant: Tenant) -> Self:
        """The same for one tenant: Postgres shows it that tenant's rows alone, and takes no others from it.

        Role and tenant are set for the one transaction: it works through a pooler that gives each another session,
        and nothing of them is left in the connection, however the statement ends.
        """
        walled = copy(self)
        walled._tenant = tenant
        return walled

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
        return _written(await self._answer("execute", sql, arguments))

    async def change_of_each(self, sql: str, arguments: Mapping[Tenant, Sequence[Any]]) -> int:
        """Run a statement for several tenants, for each behind its own wall, in one transaction.

        Returns how many rows were written in all.
        """
        (first, own), *others = arguments.items()

        async def visit(connection: asyncpg.Connection) -> int:
            written = _written(await connection.execute(sql, *own))
            for tenant, theirs in others:
                await connection.execute(_act_for(tenant))
                written += _written(await connection.execute(sql, *theirs))
            return written

        written: int = await self.of(first)._answered(visit)
        return written

    async def _answer(self, asking: str, sql: str, arguments: tuple[Any, ...]) -> Any:
        return await self._answered(lambda connection: getattr(connection, asking)(sql, *arguments))

    async def _answered(self, talk: Talk) -> Any:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._ask(talk)
        except REFUSED:
            raise
        except TimeoutError as error:
            late = TimeoutError(f"no answer within {self._deadline_seconds} s")
            raise Unavailable("postgres") from (error if error.args else late)
        except (*AWAY, asyncpg.PostgresError) as error:
            raise Unavailable("postgres") from error

    async def _ask(self, talk: Talk) -> Any:
        if self._pool is None:
            raise Unavailable("postgres")
        connection = await self._pool.acquire()
        try:
            answer = await (talk(connection) if self._tenant is None else _walled(connection, self._tenant, talk))
        except BaseException:
            self._leave(self._give_back(self._pool, connection))
            raise
        await self._pool.release(connection, timeout=_LEAVE_SECONDS)
        return answer

    async def _give_back(self, pool: asyncpg.Pool, connection: asyncpg.Connection) -> None:
        """Release a connection whose last statement failed or was given up; no tenant stays in it.

        How far such a transaction came is not known. So it is rolled back in any case, or the connection is cut.
        """
        if self._tenant is not None:
            try:
                await connection.execute("rollback", timeout=_LEAVE_SECONDS)
            except BaseException as error:
                connection.terminate()
                if not isinstance(error, Exception):
                    raise
        await pool.release(connection, timeout=_LEAVE_SECONDS)

    def _leave(self, release: Coroutine[Any, Any, None]) -> None:
        """Give back a connection that nobody waits for any more.

        While an answer is still to come asyncpg asks the server to stop, and waits until it has. A server that does
        not answer that either loses the connection; the pool opens another.
        """
        leaving = asyncio.create_task(release)
        self._leaving.add(leaving)  # or it might be collected before it ends
        leaving.add_done_callback(self._left)

    def _left(self, leaving: asyncio.Task[None]) -> None:
        self._leaving.discard(leaving)
        if not leaving.cancelled():
            leaving.exception()  # taken, or asyncio would complain


async def _walled(connection: asyncpg.Connection, tenant: Tenant, talk: Talk) -> Any:
    """Talk in a transaction that is one tenant's."""
    await connection.execute(f"begin; set local role {_APP_ROLE}; {_act_for(tenant)}")
    answer = await talk(connection)
    await connection.execute("commit")
    return answer


def _act_for(tenant: Tenant) -> str:
    claims = orjson.dumps({"app_metadata": {"tenant_id": tenant}}).decode()
    quoted = claims.replace("\\", "\\\\").replace("'", "''")
    return _SQL["act_for"].replace("$1", f"E'{quoted}'")


def _written(command: str) -> int:
    return int(command.rpartition(" ")[2])


def is_strange(cause: BaseException | None) -> bool:
    """Whether Postgres answered what no outage explains: a schema that is being migrated, a wrong password, a bug."""
    return isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, AWAY)
