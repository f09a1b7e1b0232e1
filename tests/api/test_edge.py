"""What holds for every route: the token, the standing headers, the trace, the counts, the 500."""

import re
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest
from starlette.routing import Route

from app.main import create_app
from app.openapi import OPEN_PATHS
from orchestrator.settings import Settings
from tests.api.door import Door

PAGES = {"/docs", "/openapi.json"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def routes() -> Iterator[tuple[str, str]]:
    for route in create_app(Settings(_env_file=None)).routes:
        assert isinstance(route, Route)
        for method in route.methods or ():
            yield method, route.path


GUARDED = sorted(
    (method, path) for method, path in routes() if path not in OPEN_PATHS | PAGES and "/webhooks/" not in path
)


@pytest.mark.parametrize(("method", "path"), GUARDED, ids=[" ".join(each) for each in GUARDED])
async def test_every_route_but_the_open_ones_wants_the_token(door: Door, method: str, path: str) -> None:
    concrete = path.replace("{id}", "01997c0e-0000-7000-8000-000000000000").replace("{name}", "default")
    for header in ("", "Bearer", "Bearer nope", "Basic dTpw", "Bearer test-token-1x", "Bearer \xe9"):
        answer = await door.http.request(method, concrete, headers={"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_open_routes_and_pages_want_none(door: Door) -> None:
    for path in sorted(OPEN_PATHS | PAGES):
        assert (await door.http.get(path, headers={"Authorization": ""})).status_code == 200, path


async def test_the_document_names_every_route_and_only_those(door: Door) -> None:
    document = (await door.http.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    # HEAD is GET without the body, so no operation of its own.
    assert described == {(method, path) for method, path in routes() if path not in PAGES and method != "HEAD"}
    assert {path for method, path in routes() if method == "HEAD"} == OPEN_PATHS
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all("security" in document["paths"][path][method.lower()] for method, path in GUARDED)


async def test_every_reference_of_the_document_leads_somewhere(door: Door) -> None:
    answer = await door.http.get("/openapi.json")
    named = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', answer.text))
    assert {"TaskRequest", "Task", "Problem"} <= named <= set(answer.json()["components"]["schemas"])


async def test_answers_are_not_stored_and_not_sniffed(door: Door) -> None:
    for path in ("/tasks", "/nope", "/health"):
        headers = (await door.http.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("sent", "echoed"), [("abc-1.2:3", "abc-1.2:3"), ("a b", None), ("a" * 129, None), ("é", None)]
)
async def test_a_sane_request_id_is_echoed(door: Door, sent: str, echoed: str | None) -> None:
    answer = await door.http.get("/livez", headers={"X-Request-Id": sent.encode("latin-1")})
    assert answer.headers.get("x-request-id") == echoed


async def test_the_trace_of_the_request_goes_on_in_the_task_and_in_problems(door: Door) -> None:
    headers = {"traceparent": TRACE}
    task = (await door.http.post("/tasks", json={"type": "greet"}, headers=headers)).json()
    problem = (await door.http.get("/tasks/nope", headers=headers)).json()
    assert task["trace_id"] == problem["trace_id"] == TRACE[3:35]


@pytest.mark.parametrize(
    "sent", ["", "nonsense", TRACE.upper(), TRACE[:-1], TRACE.replace("4bf9", "4bg9"), "00-" + "0" * 32 + TRACE[35:]]
)
async def test_a_trace_that_is_none_makes_a_fresh_one(door: Door, sent: str) -> None:
    trace_id = (await door.http.post("/tasks", json={"type": "greet"}, headers={"traceparent": sent})).json()[
        "trace_id"
    ]
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert trace_id not in (TRACE[3:35], "0" * 32)


@pytest.mark.parametrize(
    "name", ["Authorization", "Aurea-Tenant", "Idempotency-Key", "Content-Encoding", "Host", "X-Hub-Signature-256"]
)
async def test_a_header_that_decides_something_may_not_stand_twice(door: Door, name: str) -> None:
    for second in ("a", "b"):
        answer = await door.http.post("/tasks", headers=[(name, "a"), (name, second)], content=b'{"type":"greet"}')
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/headers/{name}")
    several = [("Accept", "a"), ("Accept", "b"), ("Cookie", "a"), ("Cookie", "b")]
    assert (await door.http.get("/tasks", headers=several)).status_code == 200


async def test_requests_are_counted_by_template_never_by_path(door: Door) -> None:
    await door.http.get("/tasks/nope")
    await door.http.get("/secret/path")
    await door.http.request("BREW", "/tasks")
    text = (await door.http.get("/metrics")).text
    assert 'aurea_http_requests_total{method="GET",route="/tasks/{id}",status="422"} 1.0' in text
    assert 'aurea_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'method="OTHER"' in text
    assert "secret" not in text
    assert "BREW" not in text


async def test_what_nobody_foresaw_is_a_500_that_tells_nothing_of_the_inside(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret at /srv/app.py")

    monkeypatch.setattr("orchestrator.operations.read.page", broken)
    answer: httpx2.Response = await door.http.get("/tasks", headers={"traceparent": TRACE, "X-Request-Id": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.json()["trace_id"] == TRACE[3:35]
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


def test_the_application_is_imported_quickly_and_without_what_only_handlers_need() -> None:
    script = (
        "import sys, time; began = time.process_time(); import app.main; spent = time.process_time() - began;"
        "heavy = {'anthropic', 'openai', 'google.genai', 'mcp', 'github', 'supabase', 'sentry_sdk', 'jinja2', 'cel',"
        " 'typer', 'httpx', 'obstore', 'prometheus_client'} & set(sys.modules); print(spent, sorted(heavy))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    spent, heavy = ran.stdout.strip().split(" ", 1)
    assert heavy == "[]"
    assert float(spent) < 1.5
