"""The audit over HTTP: what is kept of which request before it is answered, and who may read it."""

import asyncio
from hashlib import sha256
from inspect import getsource
from typing import Any

import orjson
import pytest
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import request_response

from app.access import OPEN
from app.audit import note_caller
from app.deps import authenticate
from orchestrator.domain.audit import Act, followed
from orchestrator.domain.errors import Forbidden, Unavailable
from orchestrator.domain.ids import Tenant
from orchestrator.domain.principal import Kind, Principal, Scope
from orchestrator.domain.subscription import DELIVERIES
from orchestrator.ledger.postgres import PostgresLedger
from orchestrator.operations import audit
from orchestrator.operations.relay import Relay
from orchestrator.queue.redis import RedisQueue
from tests.api.door import TOKEN, Door, fail, open_door, succeed
from tests.api.test_webhooks import deliver

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
UNKNOWN = "01997c0e-0000-7000-8000-000000000000"
CANARY = "canary-7Yq2"


async def lines(door: Door, **query: Any) -> list[dict[str, Any]]:
    """The lines of the tenant, the oldest first."""
    answer = await door.http.get("/audit", params={"order": "oldest", "limit": 1000, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def settled(door: Door) -> None:
    """Return when lines are kept that nobody waits for: one that somebody waits for is behind them."""
    await door.http.post("/queues/images/resume")


def away(store: str) -> Any:
    async def refuse(*_: Any) -> None:
        raise Unavailable(store)

    return refuse


async def test_every_route_that_changes_something_leaves_one_line(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the route does: its endpoint is replaced by one that only says who asks."""

    async def endpoint(request: Request) -> Response:
        if request.scope["route"].operation_id in OPEN:
            note_caller(request, Principal(Tenant("default"), Kind.SOURCE, "a-source", frozenset()))
        else:
            await authenticate(request)
        return Response(status_code=200)

    routes = [route for route in door.app.routes if isinstance(route, APIRoute) and route.methods & CHANGING]
    assert len(routes) >= 9
    for route in routes:
        monkeypatch.setattr(route, "app", request_response(endpoint))  # routes outlive the application
        for method in route.methods & CHANGING:
            await door.http.request(method, route.path_format.format_map(dict.fromkeys(route.param_convertors, "x")))
    told = await lines(door)
    assert [line["action"] for line in told] == [route.operation_id for route in routes]
    assert {line["targets"] == ["x"] for line, route in zip(told, routes, strict=True) if route.param_convertors} == {
        True
    }
    assert {line["actor"]["id"] for line in told} == {"admin", "a-source"}


def test_a_route_whose_path_names_nothing_tells_what_it_acts_on(door: Door) -> None:
    routes = [route for route in door.app.routes if isinstance(route, APIRoute) and route.methods & CHANGING]
    silent = [
        route.operation_id
        for route in routes
        if not route.param_convertors and "note_act(" not in getsource(route.endpoint)
    ]
    assert silent == []


async def test_a_line_says_who_did_what_to_what_and_from_where(door: Door) -> None:
    task = await door.submit()
    await door.http.post(f"/tasks/{task['id']}/cancel", headers={"Traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"})
    created, cancelled = await lines(door)
    assert created["targets"] == cancelled["targets"] == [task["id"]]
    body = sha256(b'{"type":"greet"}').hexdigest()
    assert created["details"] == {"body_sha256": body, "requests": 1}
    assert {**cancelled, "id": "", "at": "", "hash": ""} == {
        "number": 2, "id": "", "at": "", "tenant": "default", "actor": {"kind": "admin", "id": "admin"},
        "action": "tasks_cancel", "targets": [task["id"]], "status": 200, "address": "127.0.0.1",
        "trace_id": "ab" * 16, "details": {}, "hash": "",
    }  # fmt: skip


async def test_what_the_path_does_not_name_is_told(door: Door) -> None:
    task = await door.submit()
    await fail(door.runtime)
    batch = await door.http.post(
        "/tasks/batch", json={"tasks": [{"type": "greet"}, {"type": "none"}, {"type": "greet"}]}
    )
    kept = [item["task"]["id"] for item in batch.json()["items"] if "task" in item]
    await door.http.post("/dead/replay", json={"filter": {"type": "greet"}})
    await door.http.post("/dead/replay", json={"ids": [task["id"]]})
    await door.http.put("/budget", json={"usd_per_day": 2.5})
    await door.http.put("/budget", json={"usd_per_day": None, "scope": "system"})
    await door.http.post("/queues/images/pause")
    delivered = await deliver(door)
    told = (await lines(door))[1:]
    assert [(line["action"], line["targets"]) for line in told] == [
        ("tasks_create_batch", kept), ("dead_replay", []), ("dead_replay", [task["id"]]), ("budget_set", ["default"]),
        ("budget_set", ["system"]), ("queues_pause", ["images"]), ("webhooks_receive", [delivered.json()["id"]]),
    ]  # fmt: skip
    for line in told:
        line["details"].pop("body_sha256", None)
    assert [line["details"] for line in told] == [
        {"tasks": 2, "refused": 1}, {"replayed": 1, "type": "greet"}, {"replayed": 0}, {"usd_per_day": "2.5"},
        {"usd_per_day": "None"}, {}, {},
    ]  # fmt: skip
    assert told[-1]["actor"] == {"kind": "source", "id": "github"}


async def test_of_a_subscription_it_is_told_what_it_was_sent(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, aurea_signing_secrets=("m" * 40,)) as door:
        made = (await door.http.post("/subscriptions", json={"url": "https://example.com/hook"})).json()
        place = made["links"]["self"]
        task = await door.submit()
        await succeed(door.runtime)
        tried = (await door.http.post(f"{place}/test")).json()
        await fail(door.runtime, queue=DELIVERIES)
        since = {"since": "2026-01-01T01:00:00+01:00"}
        assert (await door.http.post(f"{place}/replay", json=since)).json() == {"replayed": 1, "examined": 1}
        await fail(door.runtime, queue=DELIVERIES)
        await door.http.post(f"{place}/replay", json={"ids": [tried["id"], UNKNOWN]})
        told = (await lines(door))[1:]
    for line in told:
        line["details"].pop("body_sha256", None)
    assert [(line["action"], line["targets"], line["details"]) for line in told if line["targets"] != [task["id"]]] == [
        ("subscriptions_test", [made["id"], tried["id"]], {}),
        ("subscriptions_replay", [made["id"]], {"since": "2026-01-01T00:00:00.000000Z", "replayed": 1, "examined": 1}),
        ("subscriptions_replay", [made["id"], tried["id"], UNKNOWN], {"replayed": 1}),
    ]


async def test_of_a_tenant_it_is_told_which_limits_were_set(door: Door) -> None:
    limits = {"running": 4, "queued": None, "usd_per_day": 2.5, "types": {"greet": {"tasks_per_day": 0}}}
    await door.http.put("/tenants/acme", json=limits)
    await door.http.put("/tenants/acme", json={})
    told = await lines(door, action="tenants_set")
    for line in told:
        line["details"].pop("body_sha256")
    assert [(line["targets"], line["details"]) for line in told] == [
        (["acme"], {"running": 4, "usd_per_day": "2.5", "greet.tasks_per_day": 0}), (["acme"], {}),
    ]  # fmt: skip


async def test_what_changed_nothing_leaves_no_line(door: Door) -> None:
    task = await door.submit()
    before = len(await lines(door))
    refused = [
        await door.http.post("/tasks", json={"type": "none"}),
        await door.http.post("/tasks", json={"type": "greet"}, headers={"Authorization": "Bearer wrong"}),
        await door.http.post(f"/tasks/{UNKNOWN}/cancel"),
        await door.http.post(f"/tasks/{task['id']}/retry"),
        await door.http.post("/nowhere"),
        await door.http.delete("/tasks"),
        await deliver(door, **{"X-Hub-Signature-256": "sha256=00"}),
        await door.http.get("/tasks"),
    ]
    assert [answer.status_code for answer in refused] == [422, 401, 404, 409, 404, 405, 401, 200]
    assert len(await lines(door)) == before


async def test_a_lack_of_rights_is_noted_once_a_minute_with_how_often_before(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [0.0, 1.0, 59.0, 61.0, 62.0]

    async def forbidden(request: Request) -> Response:
        note_caller(request, Principal(Tenant("default"), Kind.KEY, "k-1", frozenset()))
        monkeypatch.setattr(door.runtime.clock, "monotonic", lambda: moments[asked])
        raise Forbidden(Scope.QUEUES_WRITE)

    (route,) = [each for each in door.app.routes if isinstance(each, APIRoute) and each.operation_id == "queues_pause"]
    monkeypatch.setattr(route, "app", request_response(forbidden))
    for at in range(5):
        asked = at
        assert (await door.http.post("/queues/images/pause")).status_code == 403
    await settled(door)
    told = await lines(door, action="queues_pause")
    assert [(line["status"], line["actor"]["id"], line["details"]) for line in told] == [
        (403, "k-1", {}), (403, "k-1", {"left_out": 2})
    ]  # fmt: skip


async def test_what_broke_half_way_is_noted(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError(CANARY)

    with monkeypatch.context() as patched:
        patched.setattr(PostgresLedger, "pause", broken)
        assert (await door.http.post("/queues/images/pause")).status_code == 500
    await settled(door)
    (line,) = await lines(door, action="queues_pause")
    assert (line["status"], line["targets"], line["details"]) == (500, ["images"], {})


async def test_a_caller_who_left_before_his_body_had_come_did_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(request: Request) -> Response:
        await authenticate(request)
        raise ClientDisconnect

    (route,) = [each for each in door.app.routes if isinstance(each, APIRoute) and each.operation_id == "queues_pause"]
    monkeypatch.setattr(route, "app", request_response(gone))
    with pytest.raises(AssertionError):  # the transport got no answer
        await door.http.post("/queues/images/pause")
    await settled(door)
    assert await lines(door, action="queues_pause") == []


async def test_requests_of_one_moment_share_lines_and_none_is_missing(door: Door) -> None:
    answers = await asyncio.gather(*(door.http.post("/tasks", json={"type": "greet"}) for _ in range(50)))
    told = await lines(door)
    assert len(told) < 25
    assert sum(line["details"]["requests"] for line in told) == 50
    targets = [target for line in told for target in line["targets"]]
    assert sorted(targets) == sorted(answer.json()["id"] for answer in answers)
    assert len(list(followed(told))) == len(told)


async def test_no_payload_and_no_secret_stands_in_a_line(door: Door) -> None:
    await door.submit(payload={"text": CANARY}, tags={"note": CANARY}, idempotency_key=CANARY)
    batch = {"tasks": [{"type": "greet", "payload": {"text": CANARY}}]}
    await door.http.post("/tasks/batch", json=batch, headers={"User-Agent": CANARY, "Cookie": CANARY})
    await deliver(door, orjson.dumps({"text": CANARY}))
    await door.http.post(f"/queues/images/pause?token={CANARY}")
    rows = await door.database.fetch("select a::text as line from orchestrator_audit a")
    assert len(rows) == 4
    assert [row["line"] for row in rows if CANARY in row["line"] or TOKEN in row["line"]] == []


async def test_a_tenant_reads_the_lines_of_his_own_trail_alone(door: Door) -> None:
    await door.submit()
    acme = {"Aurea-Tenant": "acme"}
    await door.http.post("/queues/images/pause", headers=acme)
    (mine,) = (await door.http.get("/audit", headers=acme)).json()["items"]
    assert (mine["number"], mine["tenant"], mine["action"]) == (1, "acme", "queues_pause")
    assert [line["action"] for line in await lines(door)] == ["tasks_create"]
    assert (await door.http.get("/audit", headers={"Aurea-Tenant": "nobody"})).json() == {
        "items": [], "next_cursor": None
    }  # fmt: skip


async def test_lines_are_paged_both_ways_and_filtered(door: Door) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await door.http.post(f"/queues/{name}/pause")
    whole = await lines(door)
    for order, expected in (("oldest", whole), ("newest", whole[::-1])):
        found, cursor = [], None
        while True:
            params = {"order": order, "limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await door.http.get("/audit", params=params)).json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == expected
    assert [line["targets"] for line in await lines(door, target="c")] == [["c"]]
    assert len(await lines(door, actor="admin", action="queues_pause")) == 5
    assert await lines(door, action="queues_resume") == await lines(door, actor="k-1") == []
    third = whole[2]["at"]
    assert await lines(door, after=third) == [line for line in whole if line["at"] >= third]
    assert await lines(door, before=third) == [line for line in whole if line["at"] < third]


@pytest.mark.parametrize("cursor", ["x", "MA", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "\u00e9", "MS41"])
async def test_a_cursor_that_is_none_is_refused(door: Door, cursor: str) -> None:
    answer = await door.http.get("/audit", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_while_postgres_is_away_lines_wait_in_the_outbox_and_are_kept_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.http.post("/queues/a/pause")
    with monkeypatch.context() as patched:
        patched.setattr(PostgresLedger, "append_lines", away("postgres"))
        patched.setattr(PostgresLedger, "ping", away("postgres"))
        assert (await door.http.post("/queues/b/pause")).status_code == 200
        assert (await door.http.post("/queues/c/pause")).status_code == 200
        assert [line["targets"] for line in await lines(door)] == [["a"]]
    relay = Relay(door.runtime)
    assert await relay.turn() == 2
    assert [line["targets"] for line in await lines(door)] == [["a"], ["b"], ["c"]]
    watcher = door.runtime.standby.postgres.watcher
    assert watcher is not None
    await watcher
    await door.http.post("/queues/d/pause")
    told = await lines(door)
    assert [line["targets"] for line in told] == [["a"], ["b"], ["c"], ["d"]]
    assert len(list(followed(told))) == 4


async def test_nothing_is_answered_as_done_whose_line_nobody_took(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgresLedger, "append_lines", away("postgres"))
    monkeypatch.setattr(RedisQueue, "append", away("redis"))
    answer = await door.http.post("/queues/a/pause")
    assert (answer.status_code, answer.json()["dependency"]) == (503, "postgres and redis")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("asked_before_seconds", [0.0, 60.0])
async def test_a_line_that_nobody_takes_in_time_is_not_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch, asked_before_seconds: float
) -> None:
    """What is left of the time for an answer, and a moment at least: a slow body took none of it from the line."""
    taken = asyncio.Event()

    async def held(*_: Any) -> None:
        await taken.wait()

    monkeypatch.setattr(PostgresLedger, "append_lines", held)
    monkeypatch.setattr(audit, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(audit, "_LEAST_SECONDS", 0.1)
    auditor, now = door.app.state.desk.auditor, door.runtime.clock.monotonic()
    act = Act(Tenant("default"), Kind.KEY, "key", "queues_pause", 200, "127.0.0.1", "trace", ["a"], {})
    try:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(2):
                await auditor.keep(act, now - asked_before_seconds)
    finally:
        taken.set()
    monkeypatch.undo()
    await auditor.keep(act, now - asked_before_seconds)
