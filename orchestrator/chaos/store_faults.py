"""Faults of the stores: they crash, pause, stay away, forget, refuse, lock up, and change sides."""

import asyncio
from contextlib import suppress

import asyncpg
from redis.exceptions import WatchError

from orchestrator.chaos.faults import Act, Fault, NotNow, Stage
from orchestrator.chaos.stores import SESSIONS, Store
from orchestrator.ledger.statements import load
from orchestrator.queue.keys import Keys

_KEYS = Keys()
_PATIENCE_SECONDS = 15.0
_LOCK = "lock table orchestrator_tasks in access exclusive mode"
_END_OTHERS = load("chaos")["end_other_sessions"]
_NOBODY = ("127.0.0.1", "9")


def _stopped(store: Store) -> Act:
    async def act(stage: Stage, _: str) -> None:
        await stage.stores.stop(store)

    return act


def _killed(store: Store) -> Act:
    async def act(stage: Stage, _: str) -> None:
        await stage.stores.kill(store)

    return act


def _started(store: Store) -> Act:
    async def act(stage: Stage, _: str) -> None:
        await stage.stores.start(store)

    return act


def _paused(store: Store) -> Act:
    async def act(stage: Stage, _: str) -> None:
        await stage.stores.pause(store)

    return act


def _resumed(store: Store) -> Act:
    async def act(stage: Stage, _: str) -> None:
        await stage.stores.resume(store)

    return act


async def _stop_both(stage: Stage, _: str) -> None:
    await stage.stores.stop("postgres")
    await stage.stores.stop("redis")


async def _start_both(stage: Stage, _: str) -> None:
    await stage.stores.start("redis")
    await stage.stores.start("postgres")


async def _kill_redis_without_postgres(stage: Stage, _: str) -> None:
    """Redis crashes and comes back while Postgres is away."""
    await stage.stores.stop("postgres")
    await asyncio.sleep(2.0)
    await stage.stores.kill("redis")
    await asyncio.sleep(0.5)
    await stage.stores.start("redis")


async def _empty(stage: Stage, _: str) -> None:
    """FLUSHALL, in a moment in which nothing is in Redis alone."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    async with stage.stores.redis() as client:
        while asyncio.get_running_loop().time() < deadline:
            async with client.pipeline(transaction=True) as act:
                await act.watch(_KEYS.outbox)
                if not await act.xlen(_KEYS.outbox):
                    act.multi()  # type: ignore[no-untyped-call]
                    act.flushall()
                    with suppress(WatchError):  # something came in between
                        await act.execute()
                        return
            await asyncio.sleep(0.1)
    raise NotNow("the outbox was never empty")


async def _forget(stage: Stage, target: str) -> None:
    """A crash of a Redis that keeps no files."""
    await _empty(stage, target)
    await stage.stores.kill("redis")
    await stage.stores.forget()


async def _configure(stage: Stage, name: str, setting: str) -> None:
    async with stage.stores.redis() as client:
        await client.config_set(name, setting)


async def _fill(stage: Stage, _: str) -> None:
    await _configure(stage, "maxmemory", "1mb")


async def _relieve(stage: Stage, _: str) -> None:
    await _configure(stage, "maxmemory", "0")


async def _refuse(stage: Stage, _: str) -> None:
    """Reads go on, every write is refused: as with a full disk, only for another reason."""
    await _configure(stage, "min-replicas-to-write", "1")


async def _accept(stage: Stage, _: str) -> None:
    await _configure(stage, "min-replicas-to-write", "0")


async def _demote(stage: Stage, _: str) -> None:
    async with stage.stores.redis() as client:
        await client.replicaof(*_NOBODY)


async def _promote(stage: Stage, _: str) -> None:
    async with stage.stores.redis() as client:
        await client.replicaof("NO", "ONE")


async def _end_locks(stage: Stage, _: str) -> None:
    """What a jump of the clock does: locks are gone before their time."""
    async with stage.stores.redis() as client:
        locks = [key async for key in client.scan_iter(f"{_KEYS.lock}*", count=1000)]
        for key in locks[::2]:
            await client.pexpire(key, 1)


async def _end_sessions(stage: Stage, _: str) -> None:
    session = await stage.stores.session()
    try:
        await session.fetch(_END_OTHERS, session.get_server_pid())
    finally:
        await session.close()


async def _lock(stage: Stage, _: str) -> None:
    session = await stage.stores.session()
    stage.open_sessions.append(session)
    await session.execute("begin")
    await session.execute(_LOCK, timeout=10)


async def _crowd(stage: Stage, _target: str) -> None:
    """Nobody gets a session any more."""
    for _ in range(SESSIONS):
        try:
            stage.open_sessions.append(await stage.stores.session())
        except asyncpg.TooManyConnectionsError:
            return


async def _close_sessions(stage: Stage, _: str) -> None:
    while stage.open_sessions:
        session = stage.open_sessions.pop()
        session.terminate()


STORE_FAULTS = [
    Fault("redis_killed", (14,), "redis", _killed("redis"), _started("redis"), (0.0, 1.0), weight=4),
    Fault("redis_paused", (17,), "redis", _paused("redis"), _resumed("redis"), (0.5, 3.0)),
    Fault("redis_down", (18,), "redis", _stopped("redis"), _started("redis"), (3.0, 8.0), weight=1),
    Fault("redis_emptied", (16,), "redis", _empty, takes_seconds=3.0, amnesia=True),
    Fault("redis_forgets", (15,), "redis", _forget, _started("redis"), (0.0, 1.0), takes_seconds=3.0, amnesia=True),
    Fault("redis_full", (19,), "redis", _fill, _relieve, (0.5, 3.0)),
    Fault("redis_refuses_writes", (21,), "redis", _refuse, _accept, (0.5, 3.0)),
    Fault("redis_demoted", (24,), "redis", _demote, _promote, (0.5, 3.0), weight=1),
    Fault("locks_end_early", (35, 36), "redis", _end_locks, weight=1),
    Fault("postgres_crashes", (25,), "postgres", _stopped("postgres"), _started("postgres"), (0.0, 1.0), weight=4),
    Fault("postgres_killed", (25,), "postgres", _killed("postgres"), _started("postgres"), (0.0, 1.0), weight=2),
    Fault("postgres_paused", (32,), "postgres", _paused("postgres"), _resumed("postgres"), (0.5, 3.0)),
    Fault("postgres_down", (26,), "postgres", _stopped("postgres"), _started("postgres"), (3.0, 8.0), weight=1),
    Fault("postgres_sessions_ended", (29,), "postgres", _end_sessions, weight=3),
    Fault("postgres_locked", (32,), "postgres", _lock, _close_sessions, (0.5, 5.0)),
    Fault("postgres_crowded", (30,), "postgres", _crowd, _close_sessions, (0.5, 3.0), weight=1),
    Fault("both_down", (27,), "both", _stop_both, _start_both, (2.0, 5.0), weight=1),
    Fault(
        "redis_killed_without_postgres",
        (28,),
        "both",
        _kill_redis_without_postgres,
        _started("postgres"),
        (0.5, 2.0),
        weight=1,
    ),
]
