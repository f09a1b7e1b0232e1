"""A tenant's limits as people set them: replaced whole, refused where they make no sense, money as in the budget."""

from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from app import shapes
from tests.api.command_line import aurea
from tests.api.door import Door

NONE = {"tasks_per_day": None, "running": None, "queued": None, "usd_per_day": None}
EMPTY = {**NONE, "requests_per_minute": None, "types": {}}


async def test_limits_are_set_whole_and_shown(door: Door) -> None:
    assert (await door.http.get("/tenants/acme")).json() == {"id": "acme", **EMPTY}
    types = {"greet": {"running": 1, "queued": 0, "usd_per_day": 0.1}, "http_request": {}, "hello": {"usd_per_day": 0}}
    wanted = {"tasks_per_day": 100, "running": 4, "queued": None, "usd_per_day": 5, "requests_per_minute": 600}
    answer = await door.http.put("/tenants/acme", json={**wanted, "types": types})
    own = {"greet": {**NONE, "running": 1, "queued": 0, "usd_per_day": 0.1}, "hello": {**NONE, "usd_per_day": 0.0}}
    assert (answer.status_code, answer.json()) == (200, {"id": "acme", **wanted, "usd_per_day": 5.0, "types": own})
    assert (await door.http.get("/tenants/acme")).json() == answer.json()
    shapes.Tenant.model_validate(answer.json(), strict=True, extra="forbid")
    assert (await door.http.put("/tenants/acme", json={"running": 2})).json() == {"id": "acme", **EMPTY, "running": 2}
    assert (await door.http.get("/tenants/other")).json() == {"id": "other", **EMPTY}


async def test_its_money_is_that_of_the_budget(door: Door) -> None:
    await door.http.put("/tenants/default", json={"usd_per_day": 3})
    assert (await door.http.get("/budget")).json()["limit_usd"] == 3
    await door.http.put("/budget", json={"usd_per_day": 7})
    assert (await door.http.get("/tenants/default")).json()["usd_per_day"] == 7
    await door.http.put("/tenants/default", json={})
    assert (await door.http.get("/budget")).json()["limit_usd"] is None


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ({"tasks_a_day": 1}, "/tasks_a_day"),
        ({"running": -1}, "/running"),
        ({"running": 1.5}, "/running"),
        ({"running": "4"}, "/running"),
        ({"running": True}, "/running"),
        ({"queued": 10**13}, "/queued"),
        ({"requests_per_minute": 0}, "/requests_per_minute"),
        ({"usd_per_day": -1}, "/usd_per_day"),
        ({"types": {"greet": {"usd_per_day": -1}}}, "/types/greet/usd_per_day"),
        ({"types": {"greet": {"requests_per_minute": 1}}}, "/types/greet/requests_per_minute"),
        ({"types": {"gret": {"running": 1}}}, "/types/gret"),
        ({"types": {"gr/et": {"usd_per_day": 1}}}, "/types/gr~1et"),
        ({"types": {"greet": {"running": -1}}}, "/types/greet/running"),
        ({"types": []}, "/types"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(door: Door, limits: Any, pointer: str) -> None:
    await door.http.put("/tenants/acme", json={"running": 2})
    answer = await door.http.put("/tenants/acme", json={"tasks_per_day": 1, **limits})
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await door.http.get("/tenants/acme")).json() == {"id": "acme", **EMPTY, "running": 2}


async def test_a_type_that_is_gone_keeps_its_limits_and_can_lose_them(door: Door) -> None:
    gone = "insert into profiles (tenant, types) values ('acme', '{\"gone\": {\"running\": 1}}')"
    await door.database.execute(gone)
    shown = (await door.http.get("/tenants/acme")).json()
    assert (await door.http.put("/tenants/acme", json={"types": shown["types"]})).status_code == 200
    assert (await door.http.put("/tenants/acme", json={"types": {}})).json()["types"] == {}
    refused = await door.http.put("/tenants/acme", json={"types": shown["types"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_type")
    assert "greet" in refused.json()["known_types"]


async def test_tenants_with_limits_keys_or_tasks_are_listed_by_name(door: Door) -> None:
    await door.http.put("/tenants/b-limited", json={"types": {"greet": {"usd_per_day": 1}}, "running": 2})
    await door.http.put("/tenants/c-freed", json={"usd_per_day": 1})
    await door.http.put("/tenants/c-freed", json={})
    for tenant in ("d-working", "e-working"):
        task = await door.http.post("/tasks", json={"type": "greet"}, headers={"Aurea-Tenant": tenant})
    for tenant in ("a-keyed", "d-working"):
        key = {"name": "k", "scopes": ["tasks:read"]}
        made = await door.http.post("/keys", json=key, headers={"Aurea-Tenant": tenant})
    await door.http.delete(f"/keys/{made.json()['id']}", headers={"Aurea-Tenant": tenant})
    first = (await door.http.get("/tenants", params={"limit": 2})).json()
    for item in first["items"]:
        shapes.ListedTenant.model_validate(item, extra="forbid")
    rest = (await door.http.get("/tenants", params={"cursor": first["next_cursor"]})).json()
    listed = [*first["items"], *rest["items"]]
    assert rest["next_cursor"] is None
    assert [each["id"] for each in listed] == ["a-keyed", "b-limited", "d-working", "e-working"]
    assert [each["keys"] for each in listed] == [1, 0, 0, 0]
    assert listed[1]["types"] == {"greet": {**NONE, "usd_per_day": 1.0}}
    assert listed[3]["last_task_at"] == task.json()["created_at"]
    assert (await door.http.get("/tenants", params={"cursor": "YSBi"})).json()["code"] == "invalid_cursor"


@pytest.mark.parametrize("name", ["a" * 65, "a b", "a%0A", "%00"])
async def test_what_is_no_tenant_is_refused(door: Door, name: str) -> None:
    assert (await door.http.get(f"/tenants/{name}")).status_code == 422
    assert (await door.http.put(f"/tenants/{name}", json={})).status_code == 422


async def test_a_name_that_is_too_long_is_told_by_its_length(door: Door) -> None:
    told = (await door.http.get(f"/tenants/{'a' * 65}")).json()["detail"]
    assert told.startswith("a name of 65 characters names no tenant")


def test_the_command_line_changes_what_is_named_and_leaves_the_rest(httpserver: HTTPServer) -> None:
    before = {**EMPTY, "running": 4, "types": {"greet": {**NONE, "queued": 3}}}
    sent: list[Any] = []

    def put(request: Request) -> Response:
        sent.append(request.json)
        return Response(request.data, content_type="application/json")

    httpserver.expect_request("/tenants/acme", method="GET").respond_with_json({"id": "acme", **before})
    httpserver.expect_request("/tenants/acme", method="PUT").respond_with_handler(put)
    changes = ("running=none", "usd_per_day=2.5", "greet.running=1", "greet.usd_per_day=0.5", "--json")
    result = aurea(httpserver, "tenants", "set", "acme", *changes)
    assert result.exit_code == 0, result.output
    types = {"greet": {**NONE, "queued": 3, "running": 1, "usd_per_day": 0.5}}
    assert sent == [{**before, "running": None, "usd_per_day": 2.5, "types": types}]
    shown = aurea(httpserver, "tenants", "show", "acme")
    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        ["acme", "", "4", "", "", ""], ["acme: greet", "", "", "3", "", ""],
    ]  # fmt: skip


def test_the_command_line_names_a_tenant_whatever_is_in_its_name(httpserver: HTTPServer) -> None:
    for method in ("GET", "PUT"):
        answer = {"id": "a?b/c", **EMPTY}
        httpserver.expect_request("/tenants/a?b/c", method=method, query_string="").respond_with_json(answer)
    for verb in (("show", "a?b/c"), ("set", "a?b/c", "running=1")):
        result = aurea(httpserver, "tenants", *verb)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("limit", ["running", "running=", "running=many", "speed=1", "greet.requests_per_minute=1"])
def test_the_command_line_says_what_it_cannot_read(httpserver: HTTPServer, limit: str) -> None:
    httpserver.expect_request("/tenants/acme", method="GET").respond_with_json({"id": "acme", **EMPTY})
    assert aurea(httpserver, "tenants", "set", "acme", limit).exit_code == 2


def test_the_command_line_lists_tenants_a_page_at_a_time(httpserver: HTTPServer) -> None:
    kept = {"spent_usd": 1.5, "keys": 2, "last_task_at": "2026-11-20T10:00:00Z"}
    listed = {**EMPTY, "id": "acme", "running": 4, "types": {"draw": NONE, "greet": NONE}, **kept}
    httpserver.expect_request("/tenants", query_string={"limit": "1"}).respond_with_json(
        {"items": [listed], "next_cursor": "c-1"}
    )
    shown = aurea(httpserver, "tenants", "--limit", "1")
    assert shown.stdout.rstrip("\n").split("\t") == [
        "acme", "", "4", "", "", "", "draw greet", "1.5", "2", "2026-11-20T10:00:00Z",
    ]  # fmt: skip
    assert "aurea tenants list --cursor c-1" in shown.stderr
