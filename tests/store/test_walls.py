"""The wall around a tenant's rows, as statements meet it: seen from inside, from outside, and when it is gone again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Tenant
from orchestrator.domain.outcome import Succeeded
from orchestrator.domain.subscription import SubscriptionId
from orchestrator.ledger.database import Database
from orchestrator.ledger.pool import open_pool
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import CLOCK, TENANT, claim_of, ending_of, new_task, waiting

OTHER = Tenant("other")
COUNT = "select count(*) from orchestrator_tasks"
WITHOUT_TENANT = {"orchestrator_queues"}
"""They are the system's, and nobody reads them as a tenant. Think twice before you add one."""
SHOWN = {
    "orchestrator_tasks", "orchestrator_runs", "orchestrator_events", "orchestrator_artifacts",
}  # fmt: skip
"""What a browser may read some columns of."""
HIDDEN = {
    "payload", "result", "error", "fingerprint", "idempotency_key", "traceparent", "awaits_lock", "sha256", "bucket",
}  # fmt: skip
STATE = "select current_user = session_user and coalesce(current_setting('request.jwt.claims', true), '') = ''"


@pytest.fixture
async def narrow(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """One connection: whoever comes next gets it as the one before left it."""
    pool = await open_pool(database_url, size=1)
    yield pool
    await pool.close()


async def clean(pool: asyncpg.Pool) -> bool:
    async with pool.acquire() as connection:
        return not connection.is_in_transaction() and await connection.fetchval(STATE)


async def test_a_tenant_sees_and_changes_its_own_rows_alone(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    await ledger.insert([new_task(), new_task(tenant=OTHER), new_task(tenant=OTHER)])
    database = Database(pool)
    assert [await database.value(COUNT), await database.of(TENANT).value(COUNT)] == [3, 1]
    assert await database.of(TENANT).change("update orchestrator_tasks set priority = 1") == 1
    assert await database.of(OTHER).change("delete from orchestrator_tasks") == 2
    assert await database.of(Tenant("nobody")).value(COUNT) == 0
    assert await database.value(COUNT) == 1


async def test_a_row_for_another_tenant_is_not_taken(pool: asyncpg.Pool) -> None:
    asked = "insert into orchestrator_budgets (tenant, limit_nano) values ($1, 0)"
    with pytest.raises(Unavailable) as refused:
        await Database(pool).of(TENANT).change(asked, OTHER)
    assert isinstance(refused.value.__cause__, asyncpg.InsufficientPrivilegeError)
    assert await Database(pool).of(TENANT).change(asked, TENANT) == 1


@pytest.mark.parametrize("name", ["", "o'neil", "\\' or true; --", '"}', "\\", "größe", "$1", "x" * 5000])
async def test_whatever_a_name_is_made_of_it_is_a_name(pool: asyncpg.Pool, name: str) -> None:
    seen = await Database(pool).of(Tenant(name)).value("select orchestrator_tenant()")
    assert seen == (name or None)
    with pytest.raises(Unavailable):
        await Database(pool).of(Tenant(name)).change("insert into orchestrator_budgets values ('', 0)")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("select 1", None),
        ("select 1 / 0", asyncpg.DataError),
        ("select * from nothing_like_it", Unavailable),
        ("do $$ begin raise exception using errcode = '57P01'; end $$", Unavailable),
        ("commit; select 1", Unavailable),
    ],
)
async def test_nothing_of_a_tenant_stays_in_a_connection(
    narrow: asyncpg.Pool, asked: str, expected: type[Exception] | None
) -> None:
    call = Database(narrow).of(TENANT).value(asked)
    if expected is None:
        await call
    else:
        with pytest.raises(expected):
            await call
    assert await clean(narrow)


@pytest.mark.parametrize("cancel", [True, False], ids=["by its caller", "at its deadline"])
async def test_what_was_given_up_half_way_is_undone_before_the_next_has_its_connection(
    narrow: asyncpg.Pool, pool: asyncpg.Pool, ledger: PostgresLedger, cancel: bool
) -> None:
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    await ledger.insert([new_task()])
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("lock table orchestrator_tasks in access exclusive mode")
        asking = asyncio.create_task(Database(narrow, 5 if cancel else 0.3).of(TENANT).value(COUNT))
        await waiting(holder)
        if cancel:
            asking.cancel()
        with pytest.raises(asyncio.CancelledError if cancel else Unavailable):
            await asking
        assert await clean(narrow), "its connection is free before the table is"
    assert await Database(narrow).value(COUNT) == 1
    assert noise == [], "the driver's own last look finds no open transaction"


async def test_a_batch_of_several_tenants_is_one_transaction(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    tenants = [Tenant(f"tenant-{number}") for number in range(120)]
    tasks = [new_task(tenant=tenant, idempotency_key="k") for tenant in tenants for _ in range(2)]
    answers = await ledger.insert(tasks)
    assert [type(answer).__name__ for answer in answers] == ["Inserted", "Existing"] * 120
    rows = await pool.fetch("select tenant, id::text from orchestrator_tasks order by 1")
    assert {row["id"]: row["tenant"] for row in rows} == {task.id: task.tenant for task in tasks[::2]}
    with pytest.raises(asyncpg.DataError):
        await ledger.insert([new_task(tenant=TENANT), new_task(tenant=OTHER, payload=b"{")])
    assert await pool.fetchval("select count(*) from orchestrator_tasks where tenant = $1", TENANT) == 0


async def test_every_table_stands_behind_the_wall(pool: asyncpg.Pool) -> None:
    tables = await pool.fetch(
        "select relname as name, relrowsecurity and relforcerowsecurity as walled, exists (select from pg_attribute a "
        "where a.attrelid = c.oid and attname = 'tenant') as owned, array(select polname::text from pg_policy p "
        "where p.polrelid = c.oid order by 1) as policies from pg_class c "
        "where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace"
    )
    assert {row["name"] for row in tables if not row["owned"]} == WITHOUT_TENANT
    assert [row["name"] for row in tables if not row["walled"]] == []
    for row in tables:
        browser = ["browser"] if row["name"] in SHOWN else []
        assert row["policies"] == [*browser, "system", *(["tenant"] if row["owned"] else [])], row["name"]


async def test_who_subscribes_and_has_told_again_stands_behind_the_wall(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    asked = TENANT, SubscriptionId(CLOCK.task_id())
    assert await ledger.subscribe(*asked, "https://example.com/hook", None, None, "") is not None
    task = new_task()
    await ledger.insert([task])
    assert await ledger.settle([ending_of(claim_of(task, 5), Succeeded(b"1"))]) == [True]
    assert await ledger.announce_again(*asked, CLOCK.now() - timedelta(days=1000), 10) == 1
    for table in ("subscriptions", "callbacks"):
        closed = f"create policy closed on orchestrator_{table} as restrictive for insert to aurea_app"
        await pool.execute(f"{closed} with check (false)")
    refused = []
    with pytest.raises(Unavailable) as caught:
        await ledger.subscribe(*asked, "https://example.com/hook", None, None, "")
    refused.append(caught.value.__cause__)
    with pytest.raises(Unavailable) as caught:
        await ledger.announce_again(*asked, CLOCK.now() - timedelta(days=1000), 10)
    refused.append(caught.value.__cause__)
    assert [type(cause) for cause in refused] == [asyncpg.InsufficientPrivilegeError] * 2


async def test_a_browser_reads_some_columns_of_its_tenants_rows_and_nothing_else(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    await ledger.insert([new_task(), new_task(tenant=OTHER)])
    granted = await pool.fetch(
        "select grantee, table_name, column_name, privilege_type from information_schema.column_privileges "
        "where grantee in ('anon', 'authenticated') and table_schema = 'public'"
    )
    assert {(row["grantee"], row["privilege_type"]) for row in granted} == {("authenticated", "SELECT")}
    assert {row["table_name"] for row in granted} == SHOWN
    assert {row["column_name"] for row in granted} & HIDDEN == set()
    for claims, seen in (
        (f'{{"sub": "someone", "app_metadata": {{"tenant_id": "{TENANT}"}}}}', 1),
        ('{"sub": "other"}', 1),
        ('{"sub": "someone", "user_metadata": {"tenant_id": "other"}}', 0),
        ("", 0),
    ):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
            await connection.execute("set local role authenticated")
            assert await connection.fetchval("select count(id) from orchestrator_tasks") == seen, claims
    for role, asked in (
        ("anon", "select id from orchestrator_tasks"),
        ("authenticated", "select payload from orchestrator_tasks"),
        ("authenticated", "update orchestrator_tasks set priority = 0"),
        ("authenticated", "truncate orchestrator_tasks"),
        ("authenticated", "select name from orchestrator_queues"),
        ("authenticated", "select nextval('orchestrator_epoch')"),
        ("authenticated", "select orchestrator_guard('orchestrator_tasks')"),
        ("aurea_app", "truncate orchestrator_tasks"),
        ("aurea_app", "select name from orchestrator_queues"),
    ):
        async with pool.acquire() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"begin; set local role {role}; {asked}")
            await connection.execute("rollback")
