"""Standing in: while one store is away, the other takes what it can.

What a process believes of its two stores. The first call that a store does not answer makes it *away* for this
process: nothing waits for it any more, one watcher asks for it until it is back, and people are told once, not once a
call. While Postgres is away its writes go to the outbox, and a process goes back to direct writes only when everything
that it put there was applied: the writes of an attempt stay in order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId
from orchestrator.operations.patience import log_if_strange
from orchestrator.runtime import Runtime, Store

T = TypeVar("T")

_log = structlog.get_logger("orchestrator.standby")

_LOOK_SECONDS = 0.5
"""The longest pause between two looks for a store that is away."""


async def written(runtime: Runtime, direct: Callable[[], Awaitable[T]], outbox: Callable[[], Awaitable[T]]) -> T:
    """Write to Postgres, or to the outbox while Postgres is away. Raises Unavailable when Redis is away as well.

    `direct` may have been carried out although `outbox` is called then: a record is applied at most once.
    """
    standby = runtime.standby
    if not standby.postgres.away:
        try:
            return await direct()
        except Unavailable as away:
            if away.dependency != "postgres":
                raise
            leave(runtime, standby.postgres, away)
    standby.appending += 1
    try:
        return await outbox()
    finally:
        standby.appending -= 1


def leave(runtime: Runtime, store: Store, reason: Unavailable | None = None) -> None:
    """Do without a store from now on, until the watcher finds it; without a reason it is not away, only behind."""
    if reason is not None and not store.silent:
        store.silent = True
        _log.error("store_away", store=store.name, reason=str(reason.__cause__ or reason)[:300])
        log_if_strange(reason)
        runtime.metrics.degraded(store.name)
        runtime.reports.send(reason, store=store.name)
    if store.away:
        return
    store.away = True
    store.watcher = asyncio.create_task(_watch(runtime, store))


async def leave_alone(runtime: Runtime) -> None:
    """Stop watching: the process ends."""
    watchers = [store.watcher for store in (runtime.standby.postgres, runtime.standby.redis) if store.watcher]
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)


async def early(runtime: Runtime, ids: Sequence[TaskId]) -> set[TaskId]:
    """Return those of the tasks that Postgres refused whose insert waits in the outbox.

    What is written of them has to come behind it: this process writes to the outbox until that is applied.
    """
    if not ids or not await runtime.queue.outbox_depth():
        return set()
    found = set(ids) - await runtime.ledger.known(ids)
    if found:
        leave(runtime, runtime.standby.postgres)
    return found


async def _watch(runtime: Runtime, store: Store) -> None:
    began = runtime.clock.monotonic()
    while True:
        await asyncio.sleep(_LOOK_SECONDS * (0.5 + 0.5 * runtime.clock.chance()))
        try:
            if await _is_back(runtime, store):
                break
        except Unavailable:
            continue
    store.away = False
    _log.warning("store_back", store=store.name, seconds=round(runtime.clock.monotonic() - began, 1))


async def _is_back(runtime: Runtime, store: Store) -> bool:
    if store is runtime.standby.redis:
        await runtime.queue.ping()
        store.silent = False
        return True
    await runtime.ledger.ping()
    store.silent = False
    mine = runtime.queue.appended()
    if mine:
        first = await runtime.queue.outbox(1)
        if first and first[0].place <= mine:
            return False
    # Asked last, with nothing awaited behind it: whoever appends now is not overtaken.
    return runtime.standby.appending == 0 and runtime.queue.appended() == mine
