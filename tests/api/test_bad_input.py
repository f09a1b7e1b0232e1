"""Bad input: each is a problem document that names the place and the fix, and changes nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import orjson
import pytest
import pytest_asyncio

from app.problems import MEDIA_TYPE
from tests.api.door import SECRET, Door, open_door
from tests.conftest import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

ID = "01997c0e-0000-7000-8000-000000000000"
MIB = 2**20
KEY, TENANT, SIGNATURE = "Idempotency-Key", "Aurea-Tenant", "X-Hub-Signature-256"
SOON = (datetime.now(UTC) + timedelta(seconds=50)).isoformat()
GREET = b'{"type":"greet"}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(servers: Servers, databases: asyncpg.Connection) -> AsyncIterator[Door]:
    """One application for the whole table: nothing in it may change anything."""
    admin = await asyncpg.connect(servers.postgres.url)
    await admin.execute("create database bad_input template migrated")
    url = servers.postgres.url.replace("/postgres?", "/bad_input?")
    async with open_door(url, servers.valkey.url) as door:
        await door.submit(idempotency_key="taken")
        yield door
    await admin.execute("drop database bad_input with (force)")
    await admin.close()


def task(**fields: Any) -> dict[str, Any]:
    return {"method": "POST", "url": "/tasks", "json": {"type": "greet", **fields}}


def raw(body: bytes, url: str = "/tasks", **headers: str) -> dict[str, Any]:
    return {"method": "POST", "url": url, "content": body, "headers": headers}


def get(url: str, **headers: str) -> dict[str, Any]:
    return {"method": "GET", "url": url, "headers": headers}


def github(**headers: str) -> dict[str, Any]:
    return raw(b"{}", "/webhooks/github", **{"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push", **headers})


CASES: dict[str, tuple[dict[str, Any], int, str | None, str]] = {
    # what is sent, status, pointer of the first issue, a word of the fix
    "unknown type": (task(type="nope"), 422, "/type", "greet"),
    "no type": (raw(b"{}"), 422, "/type", "required"),
    "payload field of the wrong type": (task(payload={"times": "x"}), 422, "/payload/times", "integer"),
    "payload with an unknown field": (task(payload={"tmies": 1}), 422, "/payload/tmies", ""),
    "payload that is no object": (task(payload=[1]), 422, "/payload", ""),
    "unknown field": (task(priorty=1), 422, "/priorty", "remove it"),
    "server field": (task(status="succeeded"), 422, "/status", "remove it"),
    "parent": (task(parent_id=ID), 422, "/parent_id", "remove it"),
    "priority 10": (task(priority=10), 422, "/priority", "at most 9"),
    "priority -1": (task(priority=-1), 422, "/priority", "at least 0"),
    "priority as text": (task(priority="5"), 422, "/priority", "whole number"),
    "priority true": (task(priority=True), 422, "/priority", "whole number"),
    "priority 1.5": (task(priority=1.5), 422, "/priority", "whole number"),
    "key of 300 characters": (task(idempotency_key="k" * 300), 422, "/idempotency_key", "255"),
    "empty key": (task(idempotency_key=""), 422, "/idempotency_key", "at least 1"),
    "header key of 300 characters": (raw(GREET, **{KEY: "k" * 300}), 422, "/idempotency_key", "255"),
    "header key half quoted": (raw(GREET, **{KEY: '"k'}), 422, "/idempotency_key", "quotes"),
    "two keys": (raw(b'{"type":"greet","idempotency_key":"a"}', **{KEY: "b"}), 422, "/idempotency_key", "one of"),
    "key with another body": (task(idempotency_key="taken", priority=1), 422, "/idempotency_key", "new key"),
    "past expires_at": (task(expires_at="2020-01-01T00:00:00Z"), 422, "/expires_at", "future"),
    "expires before it runs": (task(delay_seconds=99, expires_at=SOON), 422, "/expires_at", "run_at"),
    "time without offset": (task(run_at="2030-01-01T00:00:00"), 422, "/run_at", "UTC"),
    "time that is none": (task(run_at="tomorrow"), 422, "/run_at", "RFC 3339"),
    "time off the calendar": (task(run_at="9999-12-31T23:59:59-14:00"), 422, "/run_at", ""),
    "time before the calendar": (task(expires_at="0001-01-01T00:00:00+14:00"), 422, "/expires_at", ""),
    "delay and run_at": (task(delay_seconds=1, run_at="2030-01-01T00:00:00Z"), 422, "/delay_seconds", "not both"),
    "negative delay": (task(delay_seconds=-1), 422, "/delay_seconds", "at least 0"),
    "queue with a space": (task(queue="a b"), 422, "/queue", "match"),
    "tag that is no text": (task(tags={"a": 1}), 422, "/tags/a", "string"),
    "tags as a list": (task(tags=["a"]), 422, "/tags", "object"),
    "no retries below zero": (task(max_retries=-1), 422, "/max_retries", "at least 0"),
    "timeout 0": (task(timeout_seconds=0), 422, "/timeout_seconds", "greater than 0"),
    "a list for a task": (raw(b"[]"), 422, "", "object"),
    "body over the limit": (raw(b'{"type":"' + b"x" * MIB + b'"}'), 413, None, "1048576"),
    "empty body": (raw(b""), 400, None, "empty"),
    "not JSON": (raw(b"type=greet"), 400, None, "not JSON"),
    "UTF-16": (raw('{"type":"greet"}'.encode("utf-16")), 400, None, "UTF-8"),
    "coded on the way": (raw(b"{}", **{"Transfer-Encoding": "gzip, chunked"}), 415, None, "Content-Encoding"),
    "a key of a webhook": (task(idempotency_key="webhook:github:1"), 422, "/idempotency_key", "webhook:"),
    "a delivery that nobody signed": (task(type="webhook_process"), 422, "/type", "sign"),
    "compressed": (raw(b"\x1f\x8b", **{"Content-Encoding": "gzip"}), 415, None, "Content-Encoding"),
    "NUL": (raw(b'{"type":"greet","payload":{"text":"a\\u0000"}}'), 422, "/payload/text", "U+0000"),
    "NUL in a key": (raw(b'{"type":"greet","tags":{"a\\u0000":"b"}}'), 422, "/tags/a\\u0000", "U+0000"),
    "NaN": (raw(b'{"type":"greet","priority":NaN}'), 422, "/priority", "finite"),
    "1e400": (raw(b'{"type":"greet","delay_seconds":1e400}'), 422, "/delay_seconds", "finite"),
    "lone surrogate": (raw(b'{"type":"greet","payload":{"text":"\\ud800"}}'), 422, "/payload/text", "surrogate"),
    "100,000 levels": (raw(b'{"type":"greet","payload":' + b"[" * 100_000), 422, "", "levels"),
    "101 levels": (raw(b'{"a":' * 101 + b"1" + b"}" * 101), 422, "", "levels"),
    "2^70": (raw(b'{"type":"greet","payload":{"times":1180591620717411303424}}'), 422, "/payload/times", "64 bits"),
    "batch that is a list": (raw(b"[]", "/tasks/batch"), 422, "", "object"),
    "batch without tasks": (raw(b"{}", "/tasks/batch"), 422, "/tasks", "required"),
    "batch of 1001": (raw(orjson.dumps({"tasks": [{}] * 1001}), "/tasks/batch"), 422, "/tasks", "1000"),
    "batch with a header key": (raw(b"{}", "/tasks/batch", **{KEY: "k"}), 422, f"/headers/{KEY}", "own"),
    "bad cursor": (get("/tasks?cursor=nonsense!"), 422, "/cursor", "next_cursor"),
    "cursor of another kind": (get("/tasks?cursor=YWJj"), 422, "/cursor", "next_cursor"),
    "cursor beyond ASCII": (get("/tasks?cursor=%C2%B2"), 422, "/cursor", "next_cursor"),
    "bad cursor of dead letters": (get("/dead?cursor=0"), 422, "/cursor", "next_cursor"),
    "limit 0": (get("/tasks?limit=0"), 422, "/limit", "at least 1"),
    "limit 201": (get("/tasks?limit=201"), 422, "/limit", "at most 200"),
    "limit that is no number": (get("/tasks?limit=x"), 422, "/limit", "whole number"),
    "unknown status": (get("/tasks?status=done"), 422, "/status", "succeeded"),
    "unknown filter": (get("/tasks?state=queued"), 422, "/state", "remove it"),
    "tag without colon": (get("/tasks?tag=team"), 422, "/tag", "key:value"),
    "query time without offset": (get("/tasks?created_after=2026-01-01T00:00"), 422, "/created_after", "RFC 3339"),
    "query time off the calendar": (get("/tasks?created_before=9999-12-31T23:59-14:00"), 422, "/created_before", "RFC"),
    "NUL in a query": (get("/tasks?q=a%00b"), 422, "/q", "U+0000"),
    "NUL in the name of a parameter": (get("/tasks?a%00b=1"), 422, "/a\\u0000b", "U+0000"),
    "line break in a query": (get("/tasks?type=a%0d%0ab"), 422, "/type", "U+000D"),
    "query in Latin-1": (get("/tasks?q=%E9"), 422, "/q", "UTF-8"),
    "surrogate in a query": (get("/dead?type=%ED%A0%80"), 422, "/type", "UTF-8"),
    "overlong in a query": (get("/tasks?q=%C0%80"), 422, "/q", "UTF-8"),
    "length of 5,000 digits": (raw(GREET, **{"Content-Length": "9" * 5000}), 413, None, "1048576"),
    "key twice": (raw(b'{"type":"greet","priority":1,"priority":2}'), 422, "/priority", "more than once"),
    "parent that is no id": (get("/tasks?parent_id=x"), 422, "/parent_id", "36 characters"),
    "id that is none": (get("/tasks/nope"), 422, "/id", "36 characters"),
    "id with a NUL": (get("/tasks/%00"), 422, "/id", ""),
    "unknown id": (get(f"/tasks/{ID}"), 404, None, ID),
    "event id that is none": (get(f"/tasks/{ID}/logs?after=x"), 422, "/after", "last event"),
    "stream from nowhere": (get(f"/stream/{ID}", **{"Last-Event-ID": "-1"}), 422, "/last_event_id", "last event"),
    "stream from nowhere in the query": (get(f"/stream/{ID}?last_event_id=1e9"), 422, "/last_event_id", "last event"),
    "replay of nothing": (raw(b"{}", "/dead/replay"), 422, "", "filter"),
    "replay of two kinds": (raw(b'{"ids":["x"],"filter":{}}', "/dead/replay"), 422, "", "either"),
    "replay of no id": (raw(b'{"ids":["x"]}', "/dead/replay"), 422, "/ids/0", "36 characters"),
    "replay at no rate": (raw(b'{"filter":{},"rate_per_second":0}', "/dead/replay"), 422, "/rate_per_second", "0.001"),
    "replay without end": (raw(b'{"filter":{},"rate_per_second":5e-324}', "/dead/replay"), 422, "/rate_per_second", ""),
    "queue of deliveries": (raw(b'{"type":"greet","queue":"webhook_deliver"}'), 422, "/queue", "webhooks"),
    "queue name with a slash": (raw(b"", "/queues/a%20b/pause"), 422, "/name", "match"),
    "no token": (get("/tasks", Authorization=""), 401, None, "Bearer"),
    "token without its scheme": (get("/tasks", Authorization="test-token-1"), 401, None, "Bearer"),
    "bad token": (get("/tasks", Authorization="Bearer wrong"), 401, None, "AUREA_API_TOKEN"),
    "tenant with a slash": (get("/tasks", **{TENANT: "a/b"}), 422, "/headers/Aurea-Tenant", "characters"),
    "tenant of 65 characters": (get("/tasks", **{TENANT: "a" * 65}), 422, "/headers/Aurea-Tenant", "64"),
    "bad signature": (github(**{SIGNATURE: "sha256=" + "0" * 64}), 401, None, "signature"),
    "no signature": (github(), 401, None, "X-Hub-Signature-256 is missing"),
    "unknown source": (raw(b"{}", "/webhooks/nope"), 404, None, "github"),
    "source that is no module": (raw(b"{}", "/webhooks/source"), 404, None, "github"),
    "unknown path": (get("/nope"), 404, None, "/docs"),
    "wrong method": ({"method": "DELETE", "url": "/tasks"}, 405, None, "GET, POST"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_bad_input_is_refused_clearly_and_changes_nothing(shared: Door, name: str) -> None:
    request, status, pointer, word = CASES[name]
    before = await shared.stored()
    answer = await shared.http.request(**request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = answer.json()
    assert {"type", "title", "status", "detail", "code", "trace_id"} <= set(problem)
    assert problem["status"] == status
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer
    assert word in str(problem["errors"][0] if pointer is not None else problem["detail"])
    assert SECRET not in answer.text
    assert await shared.stored() == before


async def test_an_unknown_type_lists_the_known_ones(shared: Door) -> None:
    problem = (await shared.http.post("/tasks", json={"type": "nope"})).json()
    assert {"greet", "http_request", "webhook_process"} <= set(problem["known_types"])


async def test_a_payload_that_does_not_fit_gets_a_pointer_for_each_field(shared: Door) -> None:
    problem = (await shared.http.post("/tasks", json={"type": "greet", "payload": {"text": 1, "times": []}})).json()
    assert {issue["pointer"] for issue in problem["errors"]} == {"/payload/text", "/payload/times"}


@pytest.mark.parametrize(
    ("method", "url", "detail"),
    [
        ("GET", "/tasks?limit=0", "limit must be at least 1"),
        ("GET", "/tasks?tag=team", "tag must be key:value"),
        ("POST", "/dead/replay", 'the body needs either "ids" or "filter"; an empty filter means every dead letter'),
    ],
)
async def test_the_sentence_calls_things_by_their_names(shared: Door, method: str, url: str, detail: str) -> None:
    answer = await shared.http.request(method, url, json={} if method == "POST" else None)
    assert answer.json()["detail"] == detail


async def test_a_401_says_how_to_authenticate(shared: Door) -> None:
    answer: httpx2.Response = await shared.http.get("/tasks", headers={"Authorization": "Basic dTpw"})
    assert answer.headers["www-authenticate"].startswith("Bearer")
