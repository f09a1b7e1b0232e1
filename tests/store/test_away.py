"""A Postgres that is away is one kind of error, and the ledger works again when it is back."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from structlog.testing import capture_logs

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.filters import TaskFilter
from orchestrator.ledger.database import REFUSED, Database, is_strange
from orchestrator.ledger.migrate import migrate
from orchestrator.ledger.pool import _names_transaction_pooler, open_pool
from orchestrator.ledger.postgres import Inserted, PostgresLedger
from orchestrator.operations.patience import patiently
from tests.conftest import Servers
from tests.store.samples import CLOCK, TENANT, claim_of, ending_of, new_task, waiting


async def test_a_pool_opens_while_postgres_is_away_and_serves_when_it_is_back(own_servers: Servers) -> None:
    postgres = own_servers.postgres
    await asyncio.to_thread(postgres.stop)
    pool = await open_pool(postgres.url, size=2)
    ledger = PostgresLedger(pool)
    with pytest.raises(Unavailable):
        await ledger.ping()
    await asyncio.to_thread(postgres.start_again)
    await migrate(postgres.url)
    task = new_task()
    assert await ledger.insert([task]) == [Inserted()]

    await asyncio.to_thread(postgres.kill)
    await refused(lambda: ledger.settle([ending_of(claim_of(task, 1))]))
    await refused(lambda: ledger.insert([task]))
    await asyncio.to_thread(postgres.start_again)
    await migrate(postgres.url)  # this server's commits do not wait for the disk
    assert await ledger.insert([task]) == [Inserted()]
    assert await ledger.settle([ending_of(claim_of(task, 1))]) == [True]
    await pool.close()
    with pytest.raises(Unavailable):
        await ledger.ping()


async def refused(act: Callable[[], Awaitable[object]]) -> None:
    """Return once it is: a backend may serve once more before it notices that the server is gone."""
    async with asyncio.timeout(20):
        while True:
            try:
                await act()
            except Unavailable:
                return


@pytest.mark.parametrize("end", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_a_statement_cut_off_half_way_is_unavailable(
    pool: asyncpg.Pool, ledger: PostgresLedger, end: str
) -> None:
    task = new_task()
    await ledger.insert([task])
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("select from orchestrator_tasks where id = $1 for update", task.id)
        settling = asyncio.create_task(ledger.settle([ending_of(claim_of(task, 1))]))
        [pid] = await waiting(holder)
        await holder.execute(f"select {end}($1)", pid)
        with pytest.raises(Unavailable):
            await settling
    found = await ledger.read(TENANT, task.id)
    assert found is not None
    assert found.finished_at is None


async def test_a_session_that_is_ended_at_any_moment_is_unavailable_or_replaced(
    pool: asyncpg.Pool, database_url: str
) -> None:
    served = await open_pool(database_url, size=1)
    ledger = PostgresLedger(served)
    others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> $1"
    async with pool.acquire() as admin:
        for _ in range(60):
            with contextlib.suppress(Unavailable):
                await ledger.ping()
            await asyncio.gather(admin.execute(others, admin.get_server_pid()), _tolerant(ledger.ping()))
    await served.close()


async def _tolerant(answer: Awaitable[None]) -> None:
    with contextlib.suppress(Unavailable):
        await answer


async def test_a_value_that_postgres_refuses_is_not_taken_for_an_outage(ledger: PostgresLedger) -> None:
    with pytest.raises(asyncpg.DataError):
        await ledger.insert([new_task(priority=70_000)])
    with pytest.raises(asyncpg.PostgresError):
        await ledger.insert([new_task(payload=b"{")])
    with pytest.raises(asyncpg.PostgresError):
        await ledger.insert([new_task(priority=10)])


@pytest.mark.parametrize(
    ("address", "names_one"),
    [
        ("db.example.com:5432/postgres", False),
        ("db.example.com/postgres", False),
        ("user:6543@db.example.com/6543", False),
        ("user:secret@pooler.example.com:6543/postgres?sslmode=require", True),
    ],
)
def test_port_6543_means_a_transaction_pooler(address: str, names_one: bool) -> None:
    assert _names_transaction_pooler(f"postgresql://{address}") is names_one


async def test_behind_a_transaction_pooler_nothing_is_kept_in_a_session(database_url: str) -> None:
    pool = await open_pool(database_url, size=1, pooler="transaction")
    ledger = PostgresLedger(pool)
    task = new_task()
    for _ in range(3):
        await ledger.insert([task])
        await ledger.page(TENANT, TaskFilter(), None, 5)
    async with pool.acquire() as connection:
        assert await connection.fetchval("select count(*) from pg_prepared_statements") == 0
        assert await connection.fetchval("show plan_cache_mode") == "auto"
    await pool.close()


@pytest.mark.parametrize("state", ["55P03", "28P01", "3D000", "42P01", "58030", "XX000", "ZZ999"])
async def test_whatever_postgres_says_that_blames_no_data_is_unavailable(pool: asyncpg.Pool, state: str) -> None:
    with pytest.raises(Unavailable) as raised:
        await Database(pool).change(f"do $$ begin raise exception using errcode = '{state}'; end $$")
    assert is_strange(raised.value.__cause__)


@pytest.mark.parametrize("state", ["21000", "22003", "23514", "54000"])
async def test_data_that_is_to_blame_is_named(pool: asyncpg.Pool, state: str) -> None:
    with pytest.raises(REFUSED):
        await Database(pool).change(f"do $$ begin raise exception using errcode = '{state}'; end $$")


async def test_an_argument_that_cannot_be_sent_is_to_blame_itself(pool: asyncpg.Pool) -> None:
    with pytest.raises(REFUSED):
        await Database(pool).value("select $1::int", 2**40)
    with pytest.raises(REFUSED):
        await Database(pool).value("select $1::text", "\ud800")


async def test_a_table_that_is_not_there_yet_is_waited_for_and_named_once(pool: asyncpg.Pool) -> None:
    database = Database(pool)
    tries: asyncio.Queue[None] = asyncio.Queue()

    async def count() -> int:
        tries.put_nowait(None)
        counted: int = await database.value("select count(*) from not_yet")
        return counted

    with capture_logs() as lines:
        counting = asyncio.create_task(patiently(CLOCK, count))
        async with asyncio.timeout(5):
            for _ in range(3):
                await tries.get()
            await pool.execute("create table not_yet ()")
            assert await counting == 0
    refusals = [line for line in lines if line["event"] == "store_refuses"]
    assert [line["reason"] for line in refusals] == ['relation "not_yet" does not exist']
