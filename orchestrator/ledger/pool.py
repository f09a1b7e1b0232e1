"""Connections to Postgres, direct or through a pooler.

A pooler in transaction mode gives each transaction another session, so nothing may be kept in one: statements are not
prepared and no session setting is made.
"""

from typing import Literal
from urllib.parse import urlsplit

import asyncpg

_TRANSACTION_POOLER_PORT = ":6543"
_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 30.0


async def open_pool(
    url: str, *, size: int = 10, pooler: Literal["transaction", "session"] | None = None
) -> asyncpg.Pool:
    """Return a pool of at most `size` connections. None is opened yet: a process starts while Postgres is away.

    Without `pooler`, port 6543 means a transaction pooler, as at Supabase.
    """
    through_transactions = pooler == "transaction" or (pooler is None and _names_transaction_pooler(url))
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=_CONNECT_SECONDS,
        command_timeout=_STATEMENT_SECONDS,
        statement_cache_size=0 if through_transactions else 100,
        init=None if through_transactions else _plan_each_time,
        reset=_keep_as_it_is,
    )


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
