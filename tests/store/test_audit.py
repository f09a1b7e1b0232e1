"""Trails in Postgres: one unbroken line after the other, whoever adds at once, and no change goes unseen."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from app.render import audit_document
from orchestrator.domain.audit import Act, AuditFilter, Broken, Head, Line, followed
from orchestrator.domain.ids import Tenant
from orchestrator.domain.outbox import RecordKind
from orchestrator.ledger import outbox
from orchestrator.ledger.pool import open_pool
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import CLOCK, TENANT

OTHER = Tenant("globex")
ALTERED = {
    "tenant": "'globex'",
    "number": "number + 100",
    "id": "gen_random_uuid()",
    "at": "at + interval '1 microsecond'",
    "actor_kind": "'user'",
    "actor_id": "'somebody'",
    "action": "'tasks_list'",
    "targets": "array['another']",
    "status": "403",
    "address": "'203.0.113.9'",
    "trace_id": "'none'",
    "details": """details || '{"more": 1}'""",
    "hash": "sha256(hash)",
}


def line(tenant: Tenant = TENANT, **given: Any) -> Line:
    fields: dict[str, Any] = {
        "tenant": tenant, "actor_kind": "key", "actor_id": "k1", "action": "tasks_cancel", "status": 200,
        "address": "192.0.2.1", "trace_id": "ab" * 16, "targets": ['a "quoted" \\ target', "é"], "details": {"n": 1},
    } | given  # fmt: skip
    return Line(CLOCK.task_id(), CLOCK.now(), Act(**fields))


async def trail(ledger: PostgresLedger, tenant: Tenant = TENANT) -> list[dict[str, Any]]:
    """The lines as the API shows them, the oldest first."""
    kept = await ledger.audit_lines(tenant, AuditFilter(), None, 10_000, oldest_first=True)
    return [audit_document(each) for each in kept]


async def heads(ledger: PostgresLedger, tenant: Tenant = TENANT, noted: Sequence[Head] = ()) -> list[Head]:
    """Verify the whole trail. Raises Broken."""
    return list(followed(await trail(ledger, tenant), noted))


async def tampered(pool: asyncpg.Pool, statement: str) -> None:
    """Do what only a superuser can: the triggers are off."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(statement)


async def test_lines_come_back_as_they_were_written_and_each_tenant_has_a_trail(ledger: PostgresLedger) -> None:
    mine = [line(), line(targets=[], details={})]
    await ledger.append_lines([mine[0], line(OTHER), mine[1]])
    await ledger.append_lines([line(OTHER)])
    kept = await ledger.audit_lines(TENANT, AuditFilter(), None, 10, oldest_first=True)
    assert [(each.number, each.line) for each in kept] == [(1, mine[0]), (2, mine[1])]
    assert [head.number for head in await heads(ledger)] == [1, 2]
    assert [head.number for head in await heads(ledger, OTHER)] == [1, 2]


async def test_a_line_that_is_sent_again_is_kept_once(ledger: PostgresLedger) -> None:
    lines = [line() for _ in range(3)]
    await ledger.append_lines(lines[:2])
    await ledger.append_lines([*lines, lines[2]])
    assert [told["id"] for told in await trail(ledger)] == [each.id for each in lines]
    assert len(await heads(ledger)) == 3


async def test_many_processes_at_once_make_one_trail_without_gap_or_fork(database_url: str) -> None:
    pools = [await open_pool(database_url, size=2) for _ in range(4)]
    ledgers = [PostgresLedger(pool) for pool in pools]
    batches = [[line(tenant) for tenant in (TENANT, OTHER) * 3] for _ in range(60)]
    for batch in batches[::2]:
        batch.reverse()  # as many begin with one tenant as with the other: nobody waits in a circle
    await asyncio.gather(*(ledgers[at % 4].append_lines(batch) for at, batch in enumerate(batches)))
    for tenant in (TENANT, OTHER):
        assert [head.number for head in await heads(ledgers[0], tenant)] == list(range(1, 181))
        told = {each["id"] for each in await trail(ledgers[0], tenant)}
        assert told == {each.id for batch in batches for each in batch if each.act.tenant == tenant}
    for pool in pools:
        await pool.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update orchestrator_audit set status = 500",
        "delete from orchestrator_audit",
        "delete from orchestrator_audit where false",
        "truncate orchestrator_audit",
    ],
)
async def test_even_the_owner_changes_and_deletes_nothing(
    ledger: PostgresLedger, pool: asyncpg.Pool, statement: str
) -> None:
    await ledger.append_lines([line()])
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed and never deleted"):
        await pool.execute(statement)
    assert len(await heads(ledger)) == 1


async def test_a_line_of_which_anything_was_altered_is_found(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    columns = await pool.fetch(
        "select column_name from information_schema.columns where table_name = 'orchestrator_audit'"
    )
    assert {row["column_name"] for row in columns} == set(ALTERED)
    await ledger.append_lines([line() for _ in range(5)])
    (*_, head) = await heads(ledger)
    await pool.execute("create table written as table orchestrator_audit")
    for column, number in itertools.product(ALTERED, (1, 3, 5)):
        await tampered(pool, f"update orchestrator_audit set {column} = {ALTERED[column]} where number = {number}")
        with pytest.raises(Broken, match=rf"line {number}\b"):
            await heads(ledger, noted=[head])
        if number < 5 or column not in ("tenant", "number"):  # what leaves the end needs the head
            with pytest.raises(Broken, match=rf"line {number}\b"):
                await heads(ledger)
        await tampered(pool, "delete from orchestrator_audit; insert into orchestrator_audit table written")
    assert (await heads(ledger))[-1] == head


@pytest.mark.parametrize("number", [1, 3])
async def test_a_line_that_was_taken_out_is_found(ledger: PostgresLedger, pool: asyncpg.Pool, number: int) -> None:
    await ledger.append_lines([line() for _ in range(5)])
    await tampered(pool, f"delete from orchestrator_audit where number = {number}")
    with pytest.raises(Broken, match=f"line {number} is missing"):
        await heads(ledger)


async def test_lines_taken_off_the_end_are_found_by_a_head_that_was_noted(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    await ledger.append_lines([line() for _ in range(5)])
    seen = await heads(ledger)
    await tampered(pool, "delete from orchestrator_audit where number > 3")
    assert len(await heads(ledger, noted=[seen[1]])) == 3
    with pytest.raises(Broken, match=r"line 5 was noted and is missing: the trail ends with line 3"):
        await heads(ledger, noted=[seen[1], seen[4]])
    await ledger.append_lines([line(), line()])
    with pytest.raises(Broken, match=r"line 5 is another than the one that was noted"):
        await heads(ledger, noted=[seen[4]])


async def test_a_trail_that_was_written_anew_with_good_hashes_is_found_by_a_head(
    ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    await ledger.append_lines([line() for _ in range(3)])
    (*_, noted) = await heads(ledger)
    await tampered(pool, "delete from orchestrator_audit")
    await ledger.append_lines([line(actor_id="somebody else") for _ in range(3)])
    assert len(await heads(ledger)) == 3
    with pytest.raises(Broken, match=r"line 3 is another"):
        await heads(ledger, noted=[noted])


async def test_lines_that_went_through_the_outbox_are_kept_once_and_in_order(ledger: PostgresLedger) -> None:
    lines = [line() for _ in range(3)]
    records = [(RecordKind.AUDIT, each.id, outbox.audited(each)) for each in lines]
    await ledger.append_lines(lines[:1])  # its commit was not heard of
    assert (await outbox.apply(ledger, records)).refused == []
    await outbox.apply(ledger, [records[2], records[0], (RecordKind.AUDIT, lines[0].id, b"no record")])
    kept = await ledger.audit_lines(TENANT, AuditFilter(), None, 10, oldest_first=True)
    assert [each.line for each in kept] == lines
    assert len(await heads(ledger)) == 3


async def test_the_wall_around_a_tenant_holds_for_its_trail(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    await ledger.append_lines([line(), line(OTHER)])
    async with pool.acquire() as connection:
        seen = []
        for role, claims in (("aurea_app", '{"sub": "acme"}'), ("aurea_app", "{}"), ("aurea_system", "")):
            async with connection.transaction():
                await connection.execute(f"set local role {role}")
                await connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
                seen.append([row["tenant"] for row in await connection.fetch("select tenant from orchestrator_audit")])
        assert [sorted(tenants) for tenants in seen] == [["acme"], [], ["acme", "globex"]]
        for role in ("aurea_app", "aurea_system"):
            for verb in ("update", "delete", "truncate"):
                granted = await connection.fetchval(
                    "select has_table_privilege($1, 'orchestrator_audit', $2)", role, verb
                )
                assert not granted, (role, verb)
        assert not await connection.fetchval("select has_table_privilege('aurea_app', 'orchestrator_audit', 'insert')")
        callers = await connection.fetch(
            "select rolname from pg_roles, pg_proc where proname = 'orchestrator_audit_append' and not rolsuper"
            " and rolname like 'aurea%' and has_function_privilege(rolname, pg_proc.oid, 'execute')"
        )
        assert [row["rolname"] for row in callers] == ["aurea_system"]
