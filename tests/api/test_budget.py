"""The budget as people and workers meet it: shown, limited, reserved against, told of when it is nearly spent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest
import pytest_asyncio
import redis
from pytest_httpserver import HTTPServer
from starlette.requests import Request

from app import shapes
from app.api import budget as api
from orchestrator.domain.errors import BudgetExceeded, Forbidden, LeaseLost, NotConfigured
from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.money import NANO, Reservation, Spend
from orchestrator.domain.outcome import Released
from orchestrator.domain.principal import GRANTABLE, Kind, Principal
from orchestrator.domain.task import Claim
from orchestrator.runtime import Runtime, Standby
from orchestrator.telemetry.reports import Reports
from orchestrator.worker.chores import budget as chores
from orchestrator.worker.failure import is_terminal
from tests.api.command_line import aurea, on_terminal
from tests.api.door import WORKER, Door, claim, end
from tests.conftest import Servers
from tests.purses import opened
from tests.store.samples import waiting


@pytest_asyncio.fixture
async def running(door: Door) -> Claim:
    await door.submit()
    return await claim(door.runtime)


async def reserve(at: Door | Runtime, held: Claim, usd: float = 1.0, **given: Any) -> Reservation:
    async with opened(_runtime(at)) as purse:
        return await purse.reserve(held, "anthropic", "claude", int(usd * NANO), **given)


async def pay(at: Door | Runtime, reservation: Reservation, usd: float) -> None:
    cost = int(usd * NANO)
    async with opened(_runtime(at)) as purse:
        await purse.spend(Spend(reservation, "draft", 100, 20, 0, 0, cost, {"input_mtok": 3}, ok=True))


async def release(at: Door | Runtime, reservation: Reservation) -> None:
    async with opened(_runtime(at)) as purse:
        await purse.release(reservation)


def _runtime(at: Door | Runtime) -> Runtime:
    return at.runtime if isinstance(at, Door) else at


class Told(Reports):
    """What people are told."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.percentages: list[str] = []

    def send(self, error: BaseException, **tags: str) -> None:
        self.errors.append(error)
        self.percentages.append(tags["percentage"])


@asynccontextmanager
async def unplugged(servers: Servers, database_url: str) -> AsyncIterator[None]:
    """Postgres lets nobody into this test's database."""
    admin = await asyncpg.connect(servers.postgres.url)
    name = urlsplit(database_url).path[1:]
    await admin.execute(f"alter database {name} with allow_connections false")
    await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
    yield
    await admin.execute(f"alter database {name} with allow_connections true")
    await admin.close()


async def test_today_is_shown_by_model_and_for_the_system(door: Door, running: Claim) -> None:
    await pay(door, await reserve(door, running), 0.25)
    await reserve(door, running, 2.0)
    shown = (await door.http.get("/budget")).json()
    used = {"provider": "anthropic", "model": "claude", "calls": 1, "input_tokens": 100, "output_tokens": 20}
    figures = {"spent_usd": 0.25, "reserved_usd": 2.0, "models": [{**used, "spent_usd": 0.25}]}
    assert shown["resets_at"].endswith("T00:00:00Z")
    assert set(shown) == set(shapes.Budget.model_fields)
    assert {name: shown[name] for name in figures} == figures
    assert shown["types"] == [{"type": "greet", "spent_usd": 0.25, "reserved_usd": 2.0, "limit_usd": None}]
    assert (shown["tenant"], shown["limit_usd"], shown["system"]) == ("default", None, {**figures, "limit_usd": 25.0})
    other = (await door.http.get("/budget", headers={"Aurea-Tenant": "other"})).json()
    assert other["types"] == []
    assert (other["spent_usd"], other["models"], other["system"]["spent_usd"]) == (0.0, [], 0.25)


async def test_a_limit_is_set_and_taken_away(door: Door) -> None:
    system = {"usd_per_day": 0.1, "scope": "system"}
    assert (await door.http.put("/budget", json={"usd_per_day": 10})).json()["limit_usd"] == 10.0
    assert (await door.http.put("/budget", json=system)).json()["system"]["limit_usd"] == 0.1
    again = (await door.http.put("/budget", json={"usd_per_day": None})).json()
    assert (again["limit_usd"], again["system"]["limit_usd"]) == (None, 0.1)
    system["usd_per_day"] = None
    assert (await door.http.put("/budget", json=system)).json()["system"]["limit_usd"] == 25.0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/usd_per_day"),
        ({"usd_per_day": -1}, "/usd_per_day"),
        ({"usd_per_day": "5"}, "/usd_per_day"),
        ({"usd_per_day": 1e10}, "/usd_per_day"),
        ({"usd_per_day": 1, "scope": "task"}, "/scope"),
        ({"usd_per_day": 1, "tenant": "x"}, "/tenant"),
    ],
)
async def test_what_is_no_limit_is_refused_with_a_pointer(door: Door, body: Any, pointer: str) -> None:
    answer = await door.http.put("/budget", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_who_is_no_admin_neither_sees_nor_sets_the_systems(door: Door) -> None:
    someone = Principal(DEFAULT_TENANT, Kind.KEY, "k", GRANTABLE)
    assert orjson.loads((await api.show(someone, door.runtime)).body)["system"] is None

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"usd_per_day": 1, "scope": "system"}'}

    with pytest.raises(Forbidden):
        await api.set_limit(Request({"type": "http", "headers": []}, receive), someone, door.runtime)


async def test_over_the_limit_is_refused_for_good_with_the_figures(door: Door, running: Claim) -> None:
    await door.http.put("/budget", json={"usd_per_day": 3})
    await reserve(door, running, 2.0)
    with pytest.raises(BudgetExceeded, match=r"of \$3\.00, \$0\.00 is spent and \$2\.00 reserved") as refused:
        await reserve(door, running, 1.5)
    assert (refused.value.scope, is_terminal(refused.value)) == ("tenant", True)
    with pytest.raises(BudgetExceeded) as refused:
        await reserve(door, running, 0.5, task_limit_nano=2 * NANO)
    assert (refused.value.scope, refused.value.resets_at) == ("task", None)
    await door.http.put("/tenants/default", json={"types": {"greet": {"usd_per_day": 2.25}}})
    with pytest.raises(BudgetExceeded, match=r"for tasks of type greet does not reach: of \$2\.25") as refused:
        await reserve(door, running, 0.5)
    assert (refused.value.scope, refused.value.task_type, is_terminal(refused.value)) == ("type", "greet", True)


async def test_what_a_lost_attempt_reserved_is_free_for_who_would_be_refused(door: Door, running: Claim) -> None:
    await reserve(door, running, 20.0)
    await end(door.runtime, running, Released())
    again = await claim(door.runtime)
    held = await reserve(door, again, 20.0)
    assert (await door.http.get("/budget")).json()["reserved_usd"] == 20.0
    with pytest.raises(LeaseLost):
        await reserve(door, running, 0.1)
    await release(door, held)
    assert (await door.http.get("/budget")).json()["system"]["reserved_usd"] == 0.0


async def test_an_attempt_too_young_to_be_on_record_is_recorded_first(door: Door) -> None:
    await door.submit()
    (young,) = await door.runtime.queue.claim(WORKER, "default", 1, 60_000)
    assert (await reserve(door, young)).fence == young.fence


async def test_an_emptied_redis_changes_nothing(door: Door, running: Claim, redis_admin: redis.Redis) -> None:
    await pay(door, await reserve(door, running, 20.0), 20.0)
    await reserve(door, running, 4.0)
    before = (await door.http.get("/budget")).json()
    await door.http.put("/tenants/default", json={"types": {"greet": {"usd_per_day": 25}}})
    before["types"][0]["limit_usd"] = 25.0
    redis_admin.flushall()
    assert (await door.http.get("/budget")).json() == before
    with pytest.raises(BudgetExceeded):
        await reserve(door, running, 2.0)


async def test_without_postgres_money_waits_and_is_not_lost(
    door: Door, running: Claim, servers: Servers, database_url: str
) -> None:
    held = await reserve(door, running)
    async with unplugged(servers, database_url):
        asking = asyncio.gather(pay(door, held, 0.5), reserve(door, running, 2.0))
        scraped = await door.http.get("/metrics")
        assert (scraped.status_code, "budget_used_usd{" in scraped.text) == (200, False)
        assert not asking.done()
    await asking
    system = (await door.http.get("/budget")).json()["system"]
    assert (system["spent_usd"], system["reserved_usd"]) == (0.5, 2.0)


async def test_a_worker_without_postgres_says_what_it_lacks(door: Door, running: Claim) -> None:
    isolated = replace(door.runtime, standby=Standby(isolated=True))
    with pytest.raises(NotConfigured, match="DATABASE_URL"):
        await reserve(isolated, running)


async def test_a_cancelled_call_is_still_paid_for(door: Door, running: Claim) -> None:
    held = await reserve(door, running)
    async with door.database.transaction():
        await door.database.execute("select from orchestrator_spending for update")
        paying = asyncio.create_task(pay(door, held, 0.5))
        await waiting(door.database)
        paying.cancel()
        await asyncio.wait([paying], timeout=0.1)
        assert not paying.done()
    with pytest.raises(asyncio.CancelledError):
        await paying
    assert (await door.http.get("/budget")).json()["spent_usd"] == 0.5


async def test_a_stale_attempts_money_is_counted_as_a_lost_lease(door: Door, running: Claim) -> None:
    held = await reserve(door, running)
    await end(door.runtime, running, Released())
    await claim(door.runtime)
    await pay(door, held, 0.5)
    assert "aurea_lease_lost_total 1.0" in (await door.http.get("/metrics")).text
    assert (await door.http.get(f"/tasks/{held.task_id}")).json()["cost_usd"] == 0.0


@pytest.mark.parametrize(
    ("path", "limit", "whose"),
    [
        ("/budget", {"usd_per_day": 1}, "the tenant default"),
        ("/tenants/default", {"types": {"greet": {"usd_per_day": 1}}}, "the tenant default's tasks of type greet"),
    ],
)
async def test_people_are_told_at_eighty_per_cent_and_when_nothing_is_left(
    door: Door, running: Claim, path: str, limit: Any, whose: str
) -> None:
    told = Told()
    watched = replace(door.runtime, reports=told)
    await door.http.put(path, json=limit)
    under_way = await reserve(watched, running, 0.4)
    await pay(watched, await reserve(watched, running, 0.5), 0.5)
    await release(watched, under_way)
    for usd, heard in ((0.2, []), (0.1, ["80"]), (0.1, ["80"])):
        await pay(watched, await reserve(watched, running, usd), usd)
        assert told.percentages == heard
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            await reserve(watched, running, 0.5)
        assert told.percentages == ["80", "100"]
    assert f"the $1.00 of {whose} for today" in str(told.errors[0])


async def test_the_metric_is_todays_spend_of_the_system(door: Door, running: Claim) -> None:
    await pay(door, await reserve(door, running), 0.25)
    metrics = (await door.http.get("/metrics")).text
    assert 'aurea_budget_used_usd{model="claude",provider="anthropic"} 0.25' in metrics


async def test_the_chores_give_back_and_forget(door: Door, running: Claim) -> None:
    release_dead, forget = chores.chores(door.runtime)
    await pay(door, await reserve(door, running), 0.25)
    await reserve(door, running)
    await door.database.execute("update orchestrator_usage set day = day - 40")
    await end(door.runtime, running, Released())
    assert [await release_dead.tick(), await forget.tick()] == [False, False]
    counts = [
        await door.database.fetchval(f"select count(*) from orchestrator_{of}") for of in ("reservations", "usage")
    ]
    assert counts == [0, 0]
    assert await door.database.fetchval("select max(reserved_nano) from orchestrator_spending") == 0


SHOWN = {
    "tenant": "default", "day": "2026-11-21", "resets_at": "2999-11-22T00:00:00Z",
    "spent_usd": 1.25, "reserved_usd": 0.5, "limit_usd": None,
    "models": [{"provider": "anthropic", "model": "claude", "calls": 3, "spent_usd": 1.25}],
    "types": [{"type": "draw", "spent_usd": 1.25, "reserved_usd": 0.5, "limit_usd": 2.0}],
    "system": {"spent_usd": 2.0, "reserved_usd": 0.0, "limit_usd": 25.0, "models": []},
}  # fmt: skip


def test_the_verb_shows_a_row_for_each_limit_and_model(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/budget", method="GET").respond_with_json(SHOWN)
    shown = aurea(httpserver, "budget")
    assert shown.stdout.splitlines() == [
        "default\t\t3\t1.25\t0.5\t",
        "default\tanthropic/claude\t3\t1.25\t\t",
        "default: draw\t\t\t1.25\t0.5\t2.0",
        "system\t\t0\t2.0\t0.0\t25.0",
    ]
    assert "midnight UTC" in shown.stderr
    assert orjson.loads(aurea(httpserver, "budget", "--json").stdout) == SHOWN
    screen = on_terminal(httpserver, ["budget"]).text
    assert all(word in screen for word in ("LIMIT", "$1.25", "$25.00"))


@pytest.mark.parametrize(
    ("args", "sent", "printed"),
    [
        (("0.5",), {"usd_per_day": 0.5, "scope": "tenant"}, "default may spend what it wants a day\n"),
        (("none", "--system"), {"usd_per_day": None, "scope": "system"}, "the whole system may spend $25.00 a day\n"),
    ],
)
def test_the_verb_sets_a_limit(httpserver: HTTPServer, args: tuple[str, ...], sent: Any, printed: str) -> None:
    httpserver.expect_request("/budget", method="PUT").respond_with_json(SHOWN)
    assert aurea(httpserver, "budget", "set", *args).stdout == printed
    assert orjson.loads(httpserver.log[0][0].get_data()) == sent
    assert orjson.loads(aurea(httpserver, "budget", "set", *args, "--json").stdout) == SHOWN


def test_the_help_says_what_none_means(httpserver: HTTPServer) -> None:
    said = " ".join(aurea(httpserver, "budget", "set", "--help").stdout.replace("│", " ").split())
    assert "`none` takes the limit away" in said
    assert "the system by MODEL_DAILY_BUDGET_USD again" in said


@pytest.mark.parametrize("amount", ["much", "nan", "inf"])
def test_what_is_no_amount_is_refused_before_anything_is_sent(httpserver: HTTPServer, amount: str) -> None:
    refused = aurea(httpserver, "budget", "set", amount)
    assert (refused.exit_code, len(httpserver.log)) == (2, 0)
    assert "or none" in refused.stderr
