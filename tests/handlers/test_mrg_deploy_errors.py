"""mrg_deploy at Render: what each error of the other side means, and that no error tells the key."""

import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from pytest_httpserver import HTTPServer

from handlers.mrg_deploy import mrg_deploy
from orchestrator.domain.task import TaskError
from orchestrator.egress import open_client
from orchestrator.testing import TaskRun, run_task
from tests.fakes.render import KEY, SERVICE, FakeRender

pytestmark = pytest.mark.asyncio(loop_scope="module")
NEW = "a1b2c3d4e5" * 4


@pytest.fixture
def render(httpserver: HTTPServer) -> FakeRender:
    fake = FakeRender(httpserver)
    fake.add("0" * 40)
    return fake


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(make_httpserver: HTTPServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_client([f"{make_httpserver.host}:{make_httpserver.port}"]) as client:
        yield client


async def deploy(render: FakeRender, http: httpx2.AsyncClient, **given: Any) -> TaskRun:
    payload = {"service": SERVICE, "commit": NEW, **given.pop("payload", {})}
    run = await run_task(mrg_deploy, payload, http=http, **{"config": render.config, **given})
    assert KEY not in repr((run.result, run.error, run.logs, run.progress, run.steps))
    return run


def error_of(run: TaskRun) -> TaskError:
    assert run.error is not None
    return run.error


async def test_a_missing_key_fails_at_once_and_is_named(render: FakeRender, http: httpx2.AsyncClient) -> None:
    error = error_of(await deploy(render, http, config={}))
    assert (error.type, error.retryable) == ("Terminal", False)
    assert "set RENDER_API_KEY" in error.message
    assert render.calls == []


async def test_a_key_that_is_not_accepted_is_final_even_when_the_answer_repeats_it(
    render: FakeRender, http: httpx2.AsyncClient
) -> None:
    error = error_of(await deploy(render, http, config=render.config | {"RENDER_API_KEY": "rnd_other_8Tt"}))
    assert (error.type, error.retryable) == ("Refused", False)
    assert error.message == (
        "Render answered 401 UNAUTHORIZED: unauthorized: Bearer [redacted]:"
        " the key in RENDER_API_KEY is not accepted; set a valid one"
    )


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "Render answered 400 BAD REQUEST: as asked: 400"),
        (403, "may not do this with srv-web1; use one of a member of its workspace"),
        (404, "is srv-web1 the service's id (srv-...)?"),
        (409, "srv-web1 cannot do this in the state that it is in"),
        (410, "srv-web1 is gone"),
    ],
)
async def test_a_refused_deploy_is_final_and_says_what_to_do(
    render: FakeRender, http: httpx2.AsyncClient, status: int, says: str
) -> None:
    render.fail("POST", "/deploys", status)
    error = error_of(await deploy(render, http))
    assert (error.type, error.retryable) == ("Refused", False)
    assert error.message.endswith(says)
    assert len(render.deploys) == 1


async def test_an_unknown_service_is_final(render: FakeRender, http: httpx2.AsyncClient) -> None:
    error = error_of(await deploy(render, http, payload={"service": "srv-none"}))
    assert error.message.startswith("Render answered 404 NOT FOUND: not found: service srv-none: the key in")


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Ratelimit_Reset": "45"}, 45.0),
        ({"Retry_After": "soon"}, None),
    ],
)
async def test_a_rate_limit_is_obeyed(
    render: FakeRender, http: httpx2.AsyncClient, headers: dict[str, str], after: float | None
) -> None:
    render.fail("POST", "/deploys", 429, {"error": "rate limit exceeded"}, **headers)
    run = await deploy(render, http)
    assert (error_of(run).type, error_of(run).retryable, run.retry_after_seconds) == ("Away", True, after)
    assert error_of(run).message == "Render answered 429 TOO MANY REQUESTS: rate limit exceeded"


@pytest.mark.parametrize(
    ("header", "spelled"),
    [("Ratelimit_Reset", lambda at: str(int(at))), ("Retry_After", lambda at: formatdate(at, usegmt=True))],
)
async def test_a_rate_limit_that_names_the_moment_is_obeyed(
    render: FakeRender, http: httpx2.AsyncClient, header: str, spelled: Callable[[float], str]
) -> None:
    render.fail("POST", "/deploys", 429, **{header: spelled(time.time() + 30)})
    assert (await deploy(render, http)).retry_after_seconds == pytest.approx(30, abs=2)


async def test_no_wait_is_longer_than_an_hour(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.fail("POST", "/deploys", 429, Retry_After=formatdate(time.time() + 86_400, usegmt=True))
    assert (await deploy(render, http)).retry_after_seconds == 3_600.0


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_after_a_server_error_the_next_attempt_looks_for_the_deploy_first(
    render: FakeRender, http: httpx2.AsyncClient, status: int
) -> None:
    render.fail("POST", "/deploys", status, "broken", done=True)
    first = await deploy(render, http)
    assert (error_of(first).retryable, first.retry_after_seconds) == (True, 15.0)
    second = await deploy(render, http, attempt=2, steps=first.steps)
    assert second.result["deployment"]["id"] == "dep-2"
    assert len(render.asked) == 1


async def test_a_server_error_without_a_deploy_is_tried_again(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.fail("POST", "/deploys", 503)
    first = await deploy(render, http)
    second = await deploy(render, http, attempt=2, steps=first.steps)
    assert second.result["deployment"]["state"] == "live"
    assert len(render.asked) == 1


async def test_a_render_that_cannot_be_reached_is_tried_again(render: FakeRender, http: httpx2.AsyncClient) -> None:
    run = await deploy(render, http, config=render.config | {"RENDER_API_URL": "http://unresolvable.invalid/v1"})
    assert (error_of(run).type, error_of(run).retryable) == ("Away", True)
    assert error_of(run).message.startswith("Render does not answer: ConnectError unresolvable.invalid")


@pytest.mark.parametrize("body", [{}, [{"deploy": {"id": 7}}], "<html>"])
async def test_an_address_that_is_not_renders_is_final(render: FakeRender, http: httpx2.AsyncClient, body: Any) -> None:
    render.server.expect_request("/elsewhere/services/srv-web1/deploys").respond_with_json(body)
    elsewhere = render.server.url_for("/elsewhere")
    error = error_of(await deploy(render, http, config=render.config | {"RENDER_API_URL": elsewhere}))
    assert error.message == "this is not what Render answers: is RENDER_API_URL the address of its API?"


async def test_a_redirect_is_not_followed_with_the_key(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.fail("POST", "/deploys", 302, Location="https://elsewhere.example/")
    error = error_of(await deploy(render, http))
    assert error.message == "Render answered 302 FOUND: a redirect, which is not followed"


async def test_trouble_while_watching_costs_looks_and_no_attempt(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.fail("GET", "/deploys/dep-2", 503, times=2)
    render.fail("GET", "/deploys/dep-2", 429, {"error": "rate limit exceeded"}, Retry_After="120")
    run = await deploy(render, http)
    assert run.result["deployment"]["state"] == "live"
    warned = [line.text for line in run.logs if line.fields.get("level") == "warning"]
    assert warned == [
        "Render answered 503 SERVICE UNAVAILABLE: as asked: 503",
        "Render answered 429 TOO MANY REQUESTS: rate limit exceeded",
    ]
    assert run.steps["deploy: look 3"]["wait_seconds"] == 120.0


async def test_a_status_that_trouble_interrupts_is_told_once(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.plans.append(("build_in_progress", "build_in_progress", "live"))
    render.fail("GET", "/deploys/dep-2", 503, after=1)
    told = [line.text.rpartition(" ")[2] for line in (await deploy(render, http)).logs]
    assert told == ["begun", "build_in_progress", "503", "live"]


async def test_a_key_revoked_while_watching_is_final_and_says_that_the_deploy_goes_on(
    render: FakeRender, http: httpx2.AsyncClient
) -> None:
    render.fail("GET", "/deploys/dep-2", 401)
    error = error_of(await deploy(render, http))
    assert (error.type, error.retryable) == ("Refused", False)
    assert error.message.endswith("set a valid one; the deploy dep-2 goes on unwatched")


async def test_a_deploy_may_be_unknown_for_a_moment(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.fail("GET", "/deploys/dep-2", 404, times=5)
    assert (await deploy(render, http)).result["deployment"]["state"] == "live"
    render.fail("GET", "/deploys/dep-3", 404, times=6)
    assert error_of(await deploy(render, http)).message.endswith("the deploy dep-3 goes on unwatched")


async def test_a_deploy_that_never_appears_is_final(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.server.clear()
    render.server.expect_request("/v1/services/srv-web1/deploys", method="POST").respond_with_data(status=202)
    render.server.expect_request("/v1/services/srv-web1/deploys").respond_with_json([])
    error = error_of(await deploy(render, http, payload={"deploy_timeout_seconds": 20}))
    assert error.message == "the deploy was accepted, and never seen; what runs now is not known"


async def test_a_health_url_that_can_never_be_asked_stops_the_deploy_before_it_begins(
    render: FakeRender, http: httpx2.AsyncClient
) -> None:
    error = error_of(await deploy(render, http, payload={"health_url": "http://127.0.0.1:1/"}))
    assert (error.type, error.retryable) == ("AddressRefused", False)
    assert render.asked == []


async def test_a_health_url_that_does_not_answer_is_not_healthy(render: FakeRender, http: httpx2.AsyncClient) -> None:
    payload = {"health_url": "http://unresolvable.invalid/", "health_tries": 2, "rollback_on_failure": False}
    message = error_of(await deploy(render, http, payload=payload)).message
    assert "is live, but not healthy: no answer (ConnectError) (tries: 2)" in message


async def test_a_finished_task_that_is_replayed_asks_nothing(render: FakeRender, http: httpx2.AsyncClient) -> None:
    first = await deploy(render, http)
    calls = len(render.calls)
    second = await deploy(render, http, attempt=1, steps=first.steps)
    assert second.result == first.result
    assert len(render.calls) == calls
