"""Migrations: each once, in order, whoever applies them, and the Supabase CLI agrees."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from orchestrator.domain.errors import NotStarted, Unavailable
from orchestrator.domain.money import NANO, DayLimits, Standing
from orchestrator.domain.profile import Profile
from orchestrator.embedded.process import free_port
from orchestrator.ledger.migrate import migrate
from orchestrator.ledger.postgres import PostgresLedger
from tests.conftest import NUMBERS, Servers
from tests.store.money import ask, run, spend, sums, wish
from tests.store.samples import CLOCK, TENANT

MIGRATIONS = Path(__file__).parents[2] / "migrations"
NAMES = sorted(path.name for path in MIGRATIONS.glob("*.sql"))


OLD_MONEY = """
  with today as (select (now() at time zone 'utc')::date as day), held as (
    insert into orchestrator_reservations (id, task_id, tenant, fence, provider, model, amount_nano, day)
    select id, $2::uuid, 'acme', 5, 'anthropic', 'claude', 1000000000, day from today, unnest($1::uuid[]) as id
  ), used as (
    insert into orchestrator_usage (id, task_id, tenant, step, provider, model, input_tokens, output_tokens,
      cached_tokens, cache_write_tokens, price, cost_nano, fence, ok, stale, day)
    select $3::uuid, $2::uuid, 'acme', 'draft', 'anthropic', 'claude', 1, 1, 0, 0, '{}', 3000000000, 5, true, false, day
    from today
  ), task as (
    update orchestrator_tasks set reserved_nano = 2000000000, spent_nano = 3000000000 where id = $2::uuid
  )
  insert into orchestrator_spending (tenant, day, spent_nano, reserved_nano)
  select tenant, day, 3000000000, 2000000000 from today, unnest(array['', 'acme']) as tenant
"""
"""Three dollars spent today, and one each set aside for two calls under way, as it was written without a type."""


@pytest.fixture
async def empty_url(servers: Servers) -> AsyncIterator[str]:
    """A database without a table."""
    admin = await asyncpg.connect(servers.postgres.url)
    name = f"empty_{next(NUMBERS)}"
    await admin.execute(f"create database {name}")
    yield servers.postgres.url.replace("/postgres?", f"/{name}?")
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def connection(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(empty_url)
    yield opened
    await opened.close()


async def recorded(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("select version, name from supabase_migrations.schema_migrations order by version")
    return [(row["version"], row["name"]) for row in rows]


async def test_a_second_run_finds_nothing_to_do(empty_url: str, connection: asyncpg.Connection) -> None:
    assert await migrate(empty_url) == NAMES
    assert await migrate(empty_url) == []
    assert await recorded(connection) == [tuple(name.removesuffix(".sql").split("_", 1)) for name in NAMES]
    assert await connection.fetchval("select count(*) from orchestrator_tasks") == 0


async def test_many_at_once_apply_each_file_once(empty_url: str) -> None:
    applied = await asyncio.gather(*[migrate(empty_url) for _ in range(8)])
    assert sorted(name for names in applied for name in names) == NAMES


async def test_what_another_tool_recorded_is_not_applied_again(
    empty_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(
        "create schema supabase_migrations;"
        "create table supabase_migrations.schema_migrations (version text not null primary key);"
        "insert into supabase_migrations.schema_migrations values ('20260101000000')"
    )
    (tmp_path / "20260101000000_first.sql").write_text("create table first ();")
    (tmp_path / "20260102000000_second.sql").write_text("create table second (); create table third ();")
    assert await migrate(empty_url, tmp_path) == ["20260102000000_second.sql"]
    assert await recorded(connection) == [("20260101000000", None), ("20260102000000", "second")]


async def test_a_version_without_a_file_is_named(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "20260101000000_first.sql").write_text("create table first ();")
    await migrate(empty_url, tmp_path)
    with pytest.raises(NotStarted, match="20260101000000"):
        await migrate(empty_url)


async def test_a_file_that_fails_leaves_nothing_and_the_ones_before_it_stay(
    empty_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "20260101000000_first.sql").write_text("create table first ();")
    (tmp_path / "20260102000000_second.sql").write_text("create table second (); select nothing_like_it();")
    with pytest.raises(NotStarted, match=r"20260102000000_second\.sql.*nothing_like_it"):
        await migrate(empty_url, tmp_path)
    assert await recorded(connection) == [("20260101000000", "first")]
    assert await connection.fetchval("select to_regclass('second')") is None


async def test_what_the_version_before_counted_for_no_type_breaks_no_types_sum(
    empty_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    (by_type,) = MIGRATIONS.glob("*_money_by_type.sql")
    for path in MIGRATIONS.glob("*.sql"):
        if path != by_type:
            (tmp_path / path.name).symlink_to(path)
    await migrate(empty_url, tmp_path)
    async with asyncpg.create_pool(empty_url, min_size=1, max_size=2) as pool:
        ledger = PostgresLedger(pool)
        claim = await run(ledger)
        held, abandoned = str(CLOCK.task_id()), str(CLOCK.task_id())
        await connection.execute(OLD_MONEY, [held, abandoned], claim.entry.id, str(CLOCK.task_id()))
        await connection.execute(by_type.read_text())
        await ledger.set_profile(Profile(TENANT), DayLimits(by_type={"resize": 4 * NANO}))
        refused = await ask(ledger, claim, 2 * NANO)
        assert isinstance(refused, Standing)
        assert (refused.scope, refused.spent_nano, refused.reserved_nano) == ("type", 3 * NANO, 0)
        old = wish(claim, NANO, again=held).granted(refused.day)
        await spend(ledger, old, NANO // 2)
        assert await ledger.unreserve([abandoned]) == 1
        assert await sums(pool, f"{TENANT}/resize") == (7 * NANO // 2, 0)
        assert await sums(pool, TENANT) == (7 * NANO // 2, 0)


async def test_a_postgres_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await migrate(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres?sslmode=disable")
