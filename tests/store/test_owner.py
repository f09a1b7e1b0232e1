"""A database whose owner is nobody special: no superuser, and bound by row level security like everybody.

All that the system does for all tenants it does as a member of `aurea_system`; without that the owner sees no row.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from orchestrator.domain.errors import NotStarted
from orchestrator.domain.events import EventKind
from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.money import NANO
from orchestrator.domain.outcome import Parked, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.steps import Wait
from orchestrator.ledger.migrate import migrate
from orchestrator.operations.artifact import keep
from orchestrator.operations.cancel import cancel
from orchestrator.operations.park import park
from orchestrator.operations.record import save_step
from orchestrator.operations.wake import wake
from tests.api.door import WORKER, Door, claim, fail, open_door, say, succeed
from tests.conftest import Servers
from tests.store.money import reserve, spend

OWNED = """
  create role keeper login createrole password 'keeper-password';
  create role runner login password 'runner-password';
"""
SUPABASE = """
  create role anon; create role authenticated; create role service_role bypassrls; create role supabase_auth_admin;
  create role project login createrole bypassrls password 'project-password';
"""
"""Its login is no superuser and bypasses row level security."""


@pytest.fixture
async def owned_url(own_servers: Servers) -> str:
    """A database of a server that never heard of us, owned by `keeper`, who may make roles and nothing else."""
    admin = await asyncpg.connect(own_servers.postgres.url)
    await admin.execute(OWNED)
    await admin.execute("create database kept owner keeper")
    await admin.close()
    url = own_servers.postgres.url.replace("postgres:postgres-password@", "keeper:keeper-password@")
    return url.replace("/postgres?", "/kept?")


@pytest.fixture
async def door(owned_url: str, own_servers: Servers, tmp_path: Path) -> AsyncIterator[Door]:
    await migrate(owned_url)
    async with open_door(owned_url, own_servers.valkey.url, aurea_home=tmp_path) as opened:
        yield opened


async def test_a_plain_owner_runs_everything(door: Door) -> None:
    role = "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
    assert await door.database.fetchval(role) is False
    runtime, ledger = door.runtime, door.runtime.ledger
    submitted = await door.submit(idempotency_key="k")
    assert (await door.http.post("/tasks", json={"type": "greet", "idempotency_key": "k"})).status_code == 200
    claimed = await claim(runtime)
    await say(runtime, claimed, EventKind.LOG, {"text": "hello", "fields": {}})
    await save_step(runtime, claimed, "one", b"1")
    await keep(runtime, claimed, "a.txt", b"a", "text/plain", "content")
    assert await spend(ledger, await reserve(ledger, claimed), NANO) is not None
    assert await park(runtime, WORKER, decide(claimed, Parked(Wait(lock="l")), RetryPolicy(), 0.5))
    assert await ledger.entries_of(await ledger.live_ids(submitted["id"], 9)) == []
    await wake(runtime, [claimed.entry.id])
    await succeed(runtime)
    for path in ("", "/runs", "/logs", "/steps", "/artifacts", "/why"):
        answer = await door.http.get(f"/tasks/{submitted['id']}{path}")
        assert answer.status_code == 200
        assert answer.json().get("items") != []
    assert (await door.http.get(f"/tasks/{submitted['id']}")).json()["status"] == "succeeded"

    await door.submit()
    dead = await fail(runtime)
    assert (await door.http.post("/dead/replay", json={"ids": [dead.entry.id]})).json() == {"replayed": 1}
    await cancel(runtime, DEFAULT_TENANT, dead.entry.id)
    assert (await door.http.put("/budget", json={"usd_per_day": 5, "scope": "system"})).status_code == 200
    assert (await door.http.get("/budget")).json()["system"]["spent_usd"] == 1
    assert (await door.http.post("/queues/slow/pause")).status_code == 200
    assert await ledger.paused_queues() == {"slow"}
    assert await ledger.next_epoch() > 0
    assert len((await door.http.get("/tasks")).json()["items"]) == 2
    assert (await ledger.prune(runtime.clock.now(), 10)).tasks == 2


async def test_a_login_that_is_no_member_reaches_no_row(door: Door, owned_url: str) -> None:
    await door.submit()
    await door.database.execute("revoke aurea_system from keeper")
    assert await door.database.fetchval("select count(*) from orchestrator_tasks") == 0


async def test_a_login_that_owns_nothing_works_as_a_member_of_both(
    door: Door, owned_url: str, own_servers: Servers
) -> None:
    await door.database.execute("grant aurea_app, aurea_system to runner")
    url = owned_url.replace("keeper:keeper-password@", "runner:runner-password@")
    async with open_door(url, own_servers.valkey.url) as running:
        submitted = await running.submit()
        await succeed(running.runtime)
        assert (await running.http.get(f"/tasks/{submitted['id']}")).json()["status"] == "succeeded"


async def test_what_a_supabase_project_grants_by_default_is_taken_back(own_servers: Servers) -> None:
    admin = await asyncpg.connect(own_servers.postgres.url)
    await admin.execute(SUPABASE)
    await admin.execute("create database project owner project")
    url = own_servers.postgres.url.replace("postgres:postgres-password@", "project:project-password@")
    url = url.replace("/postgres?", "/project?")
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as project:
        for things in ("tables", "sequences", "functions"):
            await project.execute(f"alter default privileges grant all on {things} to anon, authenticated")
        await migrate(url)
        assert await project.fetchval("select to_regprocedure('auth.uid()')") is None, "Supabase brings its own"
        browsers = "grantee in ('anon', 'authenticated') and table_schema = 'public'"
        assert await project.fetch(f"select from information_schema.role_table_grants where {browsers}") == []
        kinds = f"select distinct grantee, privilege_type from information_schema.column_privileges where {browsers}"
        assert [tuple(row) for row in await project.fetch(kinds)] == [("authenticated", "SELECT")]
        mine = "select proname from pg_proc where proname like 'orchestrator_%'"
        called = f"{mine} and has_function_privilege('anon', oid, 'execute')"
        assert [row["proname"] for row in await project.fetch(called)] == ["orchestrator_tenant"]
        assert await project.fetchval("select has_sequence_privilege('anon', 'orchestrator_epoch', 'usage')") is False
    await admin.close()


async def test_who_may_not_join_the_roles_is_told_so(owned_url: str, own_servers: Servers) -> None:
    admin = await asyncpg.connect(own_servers.postgres.url)
    await admin.execute("create role aurea_app nologin noinherit; create role aurea_system nologin noinherit")
    with pytest.raises(NotStarted, match='permission denied to grant role "aurea_app"'):
        await migrate(owned_url)
    await admin.execute("grant aurea_app, aurea_system to keeper; alter role keeper nocreaterole")
    assert await migrate(owned_url), "an administrator has prepared it"
    await admin.close()
