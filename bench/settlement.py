"""When this system is done: not when the last task was executed, but when the last result is kept and acknowledged."""

import asyncio

import asyncpg
from redis import Redis

from bench.stage import Failure, Stage

_LEASES = "aurea:leases"
_COUNT = "select count(*) from orchestrator_tasks where status = $1"


def settled_at(stage: Stage, tasks: int) -> float:
    """Return the moment the last lease was given back, which follows its commit. Raises Failure if a result is missing.

    The peers are not held to this: their time ends with the last execution.
    """
    addresses = stage.servers.addresses
    with Redis.from_url(addresses["redis"]) as client:
        moment = stage.watch(lambda: not client.zcard(_LEASES), "every lease was given back")
    require_kept(stage, "succeeded", tasks)
    return moment


def require_kept(stage: Stage, status: str, tasks: int) -> None:
    """Raises Failure unless Postgres holds exactly this many tasks of this status."""
    kept = asyncio.run(_kept(stage.servers.addresses["postgres"], status))
    if kept != tasks:
        raise Failure(f"Postgres holds {kept} tasks that are {status}, not {tasks}")


async def _kept(postgres: str, status: str) -> int:
    connection = await asyncpg.connect(postgres)
    try:
        return int(await connection.fetchval(_COUNT, status))
    finally:
        await connection.close()
