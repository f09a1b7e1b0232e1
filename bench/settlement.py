"""When this system is done: not when the last task was executed, but when the last result is kept and acknowledged."""

import asyncio

import asyncpg
from redis import Redis

from bench.stage import Failure, Stage

_LEASES = "aurea:leases"
_SUCCEEDED = "select count(*) from orchestrator_tasks where status = 'succeeded'"


def settled_at(stage: Stage, tasks: int) -> float:
    """Return the moment the last lease was given back, which follows its commit. Raises Failure if a result is missing.

    The peers are not held to this: their time ends with the last execution.
    """
    addresses = stage.servers.addresses
    with Redis.from_url(addresses["redis"]) as client:
        moment = stage.watch(lambda: not client.zcard(_LEASES), "every lease was given back")
    kept = asyncio.run(_kept(addresses["postgres"]))
    if kept != tasks:
        raise Failure(f"{kept} results are kept of {tasks} tasks")
    return moment


async def _kept(postgres: str) -> int:
    connection = await asyncpg.connect(postgres)
    try:
        return int(await connection.fetchval(_SUCCEEDED))
    finally:
        await connection.close()
