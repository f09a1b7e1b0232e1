"""Migrations: each once, in order, whoever applies them, and the Supabase CLI agrees."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from orchestrator.domain.errors import NotStarted, Unavailable
from orchestrator.embedded.process import free_port
from orchestrator.ledger.migrate import migrate
from tests.conftest import NUMBERS, Servers

MIGRATIONS = Path(__file__).parents[2] / "migrations"
NAMES = sorted(path.name for path in MIGRATIONS.glob("*.sql"))


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


async def test_a_postgres_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await migrate(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres?sslmode=disable")
