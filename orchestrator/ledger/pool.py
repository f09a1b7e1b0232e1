"""Connections to Postgres, direct or through a pooler.

A pooler in transaction mode gives each transaction another session, so nothing may be kept in one: statements are not
prepared and no session setting is made.
"""

import asyncio
from typing import Any, Literal
from urllib.parse import urlsplit

import asyncpg

_TRANSACTION_POOLER_PORT = ":6543"
_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 30.0
_CLOSE_SECONDS = 1.5
_STATEMENTS_PER_CONNECTION = 50_000
_IDLE_SECONDS = 300.0


async def open_pool(
    url: str, *, size: int = 10, pooler: Literal["transaction", "session"] | None = None
) -> asyncpg.Pool:
    """Return a pool of at most `size` connections. None is opened yet: a process starts while Postgres is away.

    Without `pooler`, port 6543 means a transaction pooler, as at Supabase. Closing it takes a moment at most: what a
    frozen server holds up is cut off.
    """
    through_transactions = pooler == "transaction" or (pooler is None and _names_transaction_pooler(url))
    return await _Pool(
        url,
        min_size=0,
        max_size=size,
        dials=_Dials(plan_each_time=not through_transactions),
        timeout=_CONNECT_SECONDS,
        command_timeout=_STATEMENT_SECONDS,
        statement_cache_size=0 if through_transactions else 100,
    )


class _Dials:
    """Connections on their way. One whose caller gave up is left to the next caller.

    So a server that takes longer to reach than a statement may last is reached in the end, and a frozen one is not
    dialled again by every statement.
    """

    def __init__(self, *, plan_each_time: bool) -> None:
        self._plan_each_time = plan_each_time
        self._left: list[asyncio.Task[asyncpg.Connection]] = []
        self._closed = False

    async def connect(self, *arguments: Any, **settings: Any) -> asyncpg.Connection:
        dialled = self._adopt() or asyncio.create_task(self._dial(*arguments, **settings))
        try:
            return await asyncio.shield(dialled)
        except asyncio.CancelledError:
            self._left.append(dialled)
            if self._closed:
                self.close()
            raise

    def _adopt(self) -> asyncio.Task[asyncpg.Connection] | None:
        while self._left:
            dialled = self._left.pop()
            if not dialled.done() or (dialled.exception() is None and not dialled.result().is_closed()):
                return dialled
        return None

    async def _dial(self, *arguments: Any, **settings: Any) -> asyncpg.Connection:
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await asyncpg.connect(*arguments, **settings)
            if self._plan_each_time:
                try:
                    await _plan_each_time(connection)
                except BaseException:
                    connection.terminate()
                    raise
        return connection

    def close(self) -> None:
        """End what was left, and from now on whatever is left."""
        self._closed = True
        for dialled in self._left:
            dialled.add_done_callback(_hang_up)
            dialled.cancel()
        self._left.clear()


class _Pool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg has no types
    def __init__(self, url: str, *, dials: _Dials, **settings: Any) -> None:
        super().__init__(
            url,
            connect=dials.connect,
            reset=_keep_as_it_is,
            max_queries=_STATEMENTS_PER_CONNECTION,
            max_inactive_connection_lifetime=_IDLE_SECONDS,
            loop=None,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
            **settings,
        )
        self._dials = dials

    async def close(self) -> None:
        """End every connection, politely while the server answers."""
        self._dials.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await super().close()
        except TimeoutError:
            return  # it has cut them off by then


def _hang_up(dialled: asyncio.Task[asyncpg.Connection]) -> None:
    if not dialled.cancelled() and dialled.exception() is None:
        dialled.result().terminate()


class NoPool:
    """In place of a pool where there is no Postgres: every statement finds it away."""

    async def acquire(self) -> asyncpg.Connection:
        raise OSError("this process was given no database")

    async def close(self) -> None:
        return None


def _names_transaction_pooler(url: str) -> bool:
    return urlsplit(url).netloc.rpartition("@")[2].endswith(_TRANSACTION_POOLER_PORT)


async def _plan_each_time(connection: asyncpg.Connection) -> None:
    """A plan made while a table was empty reads all of it, and would be kept while the table grows.

    For the same reason an index counts as cheap, as it is on today's disks: a table that was never analysed would be
    read whole for every batch.
    """
    await connection.execute("set plan_cache_mode = force_custom_plan; set random_page_cost = 1.1")


async def _keep_as_it_is(_: asyncpg.Connection) -> None:
    """Nothing is left in a session, so giving a connection back costs no round trip."""
