"""Standing in: while one store is away, the other takes what it can.

What a process believes of its two stores. The first call that a store does not answer makes it *away* for this
process: nothing waits for it any more, one watcher asks for it until it is back, and people are told once, not once a
call. While Postgres is away its writes go to the outbox. A process goes back to direct writes when everything that it
put there was applied, so that the writes of an attempt stay in order: when little is left, it holds its writes up for
that moment.
"""

import asyncio
from collections import deque
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
_HOLD_UP_SECONDS = 1.0
_LITTLE = 2_000
"""So many records are applied in less than that."""


async def written(runtime: Runtime, direct: Callable[[], Awaitable[T]], outbox: Callable[[], Awaitable[T]]) -> T:
    """Write to Postgres, or to the outbox while Postgres is away. Raises Unavailable when Redis is away as well.

    `direct` may have been carried out although `outbox` is called then: a record is applied at most once. And so it may
    be the other way round: who is only behind the outbox, and then loses Redis, writes to Postgres.
    """
    await held_up(runtime)
    postgres = runtime.standby.postgres
    if not postgres.away and await _owes(runtime):
        leave(runtime, postgres)  # a take-over may wait there, of which Postgres does not know
    if not postgres.away:
        try:
            return await direct()
        except Unavailable as away:
            if away.dependency != postgres.name:
                raise
            leave(runtime, postgres, away)
    try:
        return await appended(runtime, outbox)
    except Unavailable:
        if postgres.silent:
            raise
        return await direct()


async def _owes(runtime: Runtime) -> bool:
    """Whether anything waits in the outbox; while Redis is away nobody takes anything over."""
    if runtime.standby.redis.away:
        return False
    try:
        return await runtime.queue.outbox_depth() > 0
    except Unavailable:
        return False


async def held_up(runtime: Runtime) -> None:
    """Return at once, or when this process goes back from the outbox to Postgres, or not yet; a second at most."""
    if runtime.standby.gate is not None:
        await runtime.standby.gate.wait()


async def appended(runtime: Runtime, outbox: Callable[[], Awaitable[T]]) -> T:
    """Call what writes to the outbox; while it is under way this process does not go back to Postgres."""
    runtime.standby.appending += 1
    try:
        return await outbox()
    finally:
        runtime.standby.appending -= 1


async def told(runtime: Runtime, word: Callable[[], Awaitable[None]]) -> None:
    """Say to Redis what Postgres knows already, now or when it is back: nothing else waits for that."""
    redis = runtime.standby.redis
    if not redis.away:
        try:
            await word()
            return
        except Unavailable as away:
            if away.dependency != redis.name:
                raise
            leave(runtime, redis, away)
    runtime.standby.unsaid.append(word)


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
    if reason is None:
        _log.info("behind_the_outbox", store=store.name)
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
    while store.away:
        await asyncio.sleep(_LOOK_SECONDS * (0.5 + 0.5 * runtime.clock.chance()))
        try:
            await _look(runtime, store)
        except Unavailable:
            continue
        except Exception:  # noqa: BLE001 - who stopped looking would do without the store for ever
            _log.exception("look_failed", store=store.name)
    _log.warning("store_back", store=store.name, seconds=round(runtime.clock.monotonic() - began, 1))


async def _look(runtime: Runtime, store: Store) -> None:
    standby = runtime.standby
    if store is standby.redis:
        await runtime.queue.ping()
        while standby.untold:
            told = dict(standby.untold)
            await runtime.queue.reserve(told)
            for task_id in told:
                del standby.untold[task_id]
        while standby.unsaid:
            await _say(standby.unsaid)
        store.away = store.silent = False
        return
    await runtime.ledger.ping()
    store.silent = False
    if await runtime.queue.outbox_depth() > _LITTLE:
        return
    gate = standby.gate = asyncio.Event()
    try:
        await _go_back(runtime, store)
    finally:
        standby.gate = None
        gate.set()


async def _say(unsaid: deque[Callable[[], Awaitable[None]]]) -> None:
    word = unsaid.popleft()
    try:
        await word()
    except Unavailable:
        unsaid.appendleft(word)
        raise


async def _go_back(runtime: Runtime, store: Store) -> None:
    """Wait for the relay to pass what this process appended; while the gate is closed it appends no more."""
    until = runtime.clock.monotonic() + _HOLD_UP_SECONDS
    while runtime.clock.monotonic() < until:
        if runtime.standby.appending == 0:
            first = await runtime.queue.outbox(1)
            if not first or first[0].place > runtime.queue.appended():
                store.away = False
                return
        await asyncio.sleep(_HOLD_UP_SECONDS / 20)
