"""A Postgres that takes questions and answers none is away soon, and serves again at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.filters import TaskFilter
from orchestrator.ledger.database import BRISK_SECONDS, Database
from orchestrator.ledger.migrate import migrate
from orchestrator.ledger.pool import open_pool
from orchestrator.ledger.postgres import Inserted, PostgresLedger
from tests.conftest import Servers
from tests.frozen import frozen
from tests.queue.line import Line
from tests.store.samples import TENANT, claim_of, ending_of, new_task, told, waiting

SOON_SECONDS = 0.2
ONLY_BACKENDS = "select count(*) from pg_stat_activity where backend_type = 'client backend'"


@pytest_asyncio.fixture
async def own_pool(own_servers: Servers) -> AsyncIterator[asyncpg.Pool]:
    """A pool on a migrated Postgres of this test's own, all its connections open."""
    await migrate(own_servers.postgres.url)
    pool = await open_pool(own_servers.postgres.url)
    await fill(pool)
    yield pool
    await pool.close()


@pytest_asyncio.fixture
async def noise() -> list[dict[str, Any]]:
    """What asyncio complains about."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard


async def fill(pool: asyncpg.Pool) -> None:
    await asyncio.gather(*(pool.execute("select pg_sleep(0.02)") for _ in range(10)))
    assert pool.get_size() == 10


async def refused_after(asking: Coroutine[Any, Any, Any]) -> float:
    """Seconds until it was Unavailable."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as raised:
        await asking
    assert raised.value.dependency == "postgres"
    return time.monotonic() - began


async def test_what_somebody_waits_for_is_given_up_soon_on_any_number_of_calls(
    own_servers: Servers, own_pool: asyncpg.Pool
) -> None:
    ledger, task = PostgresLedger(own_pool), new_task()
    claim = claim_of(task, 1)
    await ledger.insert([task])
    calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: ledger.insert([new_task()]),
        lambda: ledger.start([claim]),
        lambda: ledger.settle([ending_of(claim)]),
        lambda: ledger.tell([told(task, 1, 1)]),
        lambda: ledger.save_step(claim, "one", b"1"),
        lambda: ledger.steps(task.id),
        lambda: ledger.read(TENANT, task.id),
        lambda: ledger.page(TENANT, TaskFilter(), None, 5),
        lambda: ledger.events(TENANT, task.id, 0, 5),
        ledger.next_epoch,
        ledger.ping,
    ]
    with frozen(own_servers.postgres):
        waits = await asyncio.gather(*(refused_after(call()) for call in calls * 3))
    assert max(waits) < BRISK_SECONDS + 0.5
    began = time.monotonic()
    assert await ledger.insert([new_task() for _ in range(5)]) == [Inserted()] * 5
    assert time.monotonic() - began < 0.5


async def test_no_connection_is_lost_to_a_server_that_was_frozen_for_long(
    own_servers: Servers, own_pool: asyncpg.Pool, noise: list[dict[str, Any]]
) -> None:
    database = Database(own_pool, SOON_SECONDS)
    with frozen(own_servers.postgres):
        async with asyncio.timeout(5):
            while own_pool.get_size():  # until every connection was given up
                await asyncio.gather(*(refused_after(database.value("select 1")) for _ in range(12)))
        await asyncio.gather(*(refused_after(database.value("select 1")) for _ in range(12)))
    assert await asyncio.gather(*(database.value("select 1") for _ in range(50))) == [1] * 50
    await fill(own_pool)
    async with own_pool.acquire() as connection:
        while await connection.fetchval(ONLY_BACKENDS) > 10:  # noqa: ASYNC110 - those given up find out one by one
            await asyncio.sleep(0.01)
    assert noise == []


async def test_after_a_kill_of_a_frozen_server_the_next_one_is_used_at_once(
    own_servers: Servers, own_pool: asyncpg.Pool
) -> None:
    postgres, database = own_servers.postgres, Database(own_pool, SOON_SECONDS)
    with frozen(postgres):
        await asyncio.gather(*(refused_after(database.value("select 1")) for _ in range(20)))
        postgres.kill()
    await asyncio.to_thread(postgres.start_again)
    began = time.monotonic()
    ledger = PostgresLedger(own_pool)
    await asyncio.gather(*(ledger.ping() for _ in range(20)))
    assert time.monotonic() - began < 1


async def test_a_frozen_server_is_not_dialled_by_every_statement(own_servers: Servers) -> None:
    line = Line(own_servers.postgres.url)
    pool = await open_pool(await line.open(), size=2)
    database = Database(pool, SOON_SECONDS)
    with frozen(own_servers.postgres):
        for _ in range(4):
            await asyncio.gather(*(refused_after(database.value("select 1")) for _ in range(5)))
    assert await database.value("select 1") == 1
    assert line.connections <= 2, "a call that gives up leaves its connection to the next one"
    await pool.close()
    await line.close()


async def test_a_server_farther_away_than_the_deadline_is_reached_in_the_end(own_servers: Servers) -> None:
    line = Line(own_servers.postgres.url)
    line.delay_seconds = 0.07  # each way: an opening takes four answers, a statement two
    pool = await open_pool(await line.open(), size=1)
    database = Database(pool, 0.5)
    await refused_after(database.value("select 1"))
    async with asyncio.timeout(5):
        while True:
            with suppress(Unavailable):
                assert await database.value("select 1") == 1
                break
    assert line.connections == 1
    await pool.close()
    await line.close()


async def test_a_caller_that_is_cancelled_leaves_at_once(own_servers: Servers, own_pool: asyncpg.Pool) -> None:
    database = Database(own_pool)
    with frozen(own_servers.postgres):
        asking = asyncio.create_task(database.value("select 1"))
        while own_pool.get_idle_size() == 10:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)  # it is on its way
        asking.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - began < 0.1


async def test_a_pool_is_closed_in_time_whatever_hangs_in_it(own_servers: Servers, noise: list[dict[str, Any]]) -> None:
    full, fresh = await open_pool(own_servers.postgres.url), await open_pool(own_servers.postgres.url)
    await fill(full)
    database = Database(full)
    with frozen(own_servers.postgres):
        await refused_after(Database(fresh, SOON_SECONDS).value("select 1"))
        hanging = [asyncio.create_task(refused_after(database.value("select 1"))) for _ in range(5)]
        await asyncio.sleep(0.01)
        began = time.monotonic()
        await asyncio.gather(full.close(), fresh.close())
        assert time.monotonic() - began < 2
        await asyncio.gather(*hanging)
        await refused_after(database.value("select 1"))
        async with asyncio.timeout(2):
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - nobody waits for them, that is the point
                await asyncio.sleep(0.01)
    assert noise == []


async def test_a_statement_that_was_given_up_is_ended_on_the_server_and_its_connection_kept(
    own_servers: Servers, own_pool: asyncpg.Pool
) -> None:
    task, ledger = new_task(), PostgresLedger(own_pool)
    await ledger.insert([task])
    async with own_pool.acquire() as holder, holder.transaction():
        await holder.execute("lock table orchestrator_tasks in access exclusive mode")
        chore = asyncio.create_task(ledger.entries_of([task.id]))
        waits = await asyncio.gather(*(refused_after(ledger.read(TENANT, task.id)) for _ in range(5)))
        assert max(waits) < BRISK_SECONDS + 0.5
        while len(await waiting(holder)) > 1:  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.01)
        assert not chore.done(), "a chore has more time"
    assert [entry.id for entry in await chore] == [task.id]
    assert own_pool.get_size() == 10
