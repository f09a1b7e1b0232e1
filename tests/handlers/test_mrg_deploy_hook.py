"""mrg_deploy through a deploy hook that the payload describes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpserver import HTTPServer

from handlers.mrg_deploy import mrg_deploy
from orchestrator.egress import open_client
from orchestrator.telemetry.spans import Spans
from orchestrator.testing import TaskRun, run_task
from tests.fakes.deploy_hook import TOKEN, FakeHook

pytestmark = pytest.mark.asyncio(loop_scope="module")
NEW = "a1b2c3d4e5" * 4


@pytest.fixture
def fake(httpserver: HTTPServer) -> FakeHook:
    return FakeHook(httpserver)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(make_httpserver: HTTPServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_client([f"{make_httpserver.host}:{make_httpserver.port}"]) as client:
        yield client


async def deploy(
    fake: FakeHook, http: httpx2.AsyncClient, config: dict[str, str] | None = None, **payload: Any
) -> TaskRun:
    payload = {"provider": "hook", "service": "web", "hook": fake.hook(), **payload}
    if payload.get("action", "deploy") == "deploy":
        payload = {"commit": NEW, **payload}
    run = await run_task(mrg_deploy, payload, config=fake.config if config is None else config, http=http)
    assert TOKEN not in repr((run.result, run.error, run.logs, run.progress, run.steps))
    return run


async def message(run: TaskRun, kind: str = "DeployFailed") -> str:
    assert run.error is not None
    assert (run.error.type, run.error.retryable) == (kind, False)
    return run.error.message


async def test_a_hook_is_called_once_with_what_the_payload_says(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    run = await deploy(fake, http, clear_cache=True)
    (begun,) = fake.begun
    assert begun["key"].startswith("aurea-")
    task_id = begun["body"]["why"].removeprefix("web by ")
    assert len(task_id) == 36
    assert begun["body"] == {"sha": NEW, "clear": True, "why": f"web by {task_id}", "id": begun["key"]}
    assert (run.result["deployment"]["id"], run.result["deployment"]["status"]) == ("42", "Live")
    assert run.result["before"]["id"] == "41"
    assert [line.text for line in run.logs] == [
        "the deploy hook: deploy 42 (a1b2c3d4e5) begun",
        "the deploy hook: deploy 42 (a1b2c3d4e5) Building",
        "the deploy hook: deploy 42 (a1b2c3d4e5) Live",
    ]


async def test_a_trigger_that_names_no_deployment_is_known_by_its_key(
    fake: FakeHook, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/trigger").respond_with_data("thanks")
    httpserver.expect_request("/status").respond_with_json({"done": True})
    trigger = {"url": httpserver.url_for("/trigger"), "method": "GET"}
    status = {"url": httpserver.url_for("/status?of={deployment}"), "state": "/done", "live": ["true"]}
    run = await deploy(fake, http, config={}, hook={"trigger": trigger, "status": status})
    requests = [request for request, _ in httpserver.log]
    assert requests[0].headers["Idempotency-Key"] == run.result["deployment"]["id"]
    assert requests[1].args["of"] == run.result["deployment"]["id"]


async def test_a_failed_deployment_is_rolled_back_and_verified(
    fake: FakeHook, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/health").respond_with_data()
    fake.plans.extend([("failed",), ("live",)])
    hook = fake.hook(current=None)
    run = await deploy(fake, http, hook=hook, rollback_to="40", health_url=httpserver.url_for("/health"))
    assert await message(run) == (
        "the deploy 42 (a1b2c3d4e5) ended as failed; rolled back to 40: 43 is live and is healthy"
    )
    assert [(each["path"], each["body"].get("to")) for each in fake.begun] == [
        ("/hook/deploys", None),
        ("/hook/rollback", "40"),
    ]
    assert fake.begun[0]["key"] != fake.begun[1]["key"]


async def test_an_unhealthy_deployment_goes_back_to_what_was_current(
    fake: FakeHook, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/health").respond_with_data(status=500)
    run = await deploy(fake, http, health_url=httpserver.url_for("/health"), health_tries=1)
    assert "rolled back to 41: 43 is live, but it is not healthy: it answers 500" in await message(run)


async def test_what_was_not_replaced_is_not_rolled_back(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    fake.plans.append(("failed",))
    assert (await message(await deploy(fake, http))).endswith("41, live before, was not replaced and still runs")
    assert len(fake.begun) == 1


async def test_a_rollback_that_names_no_target_goes_back_by_itself(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    fake.knows_keys = False  # in a test every task has the same id
    fake.plans.extend([("failed",), ("live",)])
    hook = fake.hook(current=None)
    hook["rollback"]["json"] = {"to": "previous"}
    assert (await message(await deploy(fake, http, hook=hook))).endswith(
        "rolled back to the deployment before: 43 is live"
    )
    run = await deploy(fake, http, hook=hook, action="rollback")
    assert run.result["deployment"]["id"] == "44"


@pytest.mark.parametrize(
    ("without", "says"),
    [("rollback", "hook.rollback is not given"), ("current", "neither hook.current nor rollback_to says")],
)
async def test_without_a_way_back_it_says_so(fake: FakeHook, http: httpx2.AsyncClient, without: str, says: str) -> None:
    fake.plans.append(("failed",))
    fake.current = None
    run = await deploy(fake, http, hook=fake.hook(**{without: None}))
    assert f"not rolled back: {says}" in await message(run)


async def test_a_deployment_that_somebody_stopped_is_left_alone(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    fake.plans.append(("stopped",))
    assert "was cancelled, not by this task; nothing was rolled back" in await message(await deploy(fake, http))


async def test_a_status_says_what_is_current(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    assert (await deploy(fake, http, action="status")).result["deployment"]["id"] == "41"


@pytest.mark.parametrize("missing", ["DEPLOY_HOOK_TOKEN", "DEPLOY_HOOK_HOSTS"])
async def test_a_missing_variable_fails_at_once_and_is_named(
    fake: FakeHook, http: httpx2.AsyncClient, missing: str
) -> None:
    config = {name: value for name, value in fake.config.items() if name != missing}
    run = await deploy(fake, http, config=config)
    assert f"set {missing} in the environment" in await message(run, "Terminal")
    assert fake.begun == []


async def test_a_secret_goes_to_no_host_that_is_not_named_for_it(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    run = await deploy(fake, http, config=fake.config | {"DEPLOY_HOOK_HOSTS": "other.example.com"})
    assert "is not among the hosts in DEPLOY_HOOK_HOSTS" in await message(run, "Terminal")
    assert fake.begun == []


@pytest.mark.parametrize("place", ["/hook/{secrets.token}", "/hook/deploys?key={secrets.token}"])
async def test_a_secret_may_be_part_of_the_url_and_is_told_nowhere(
    fake: FakeHook, http: httpx2.AsyncClient, httpserver: HTTPServer, place: str
) -> None:
    hook = fake.hook()
    hook["trigger"] |= {"url": httpserver.url_for("/") + place[1:], "headers": {}}
    assert (await deploy(fake, http, hook=hook)).result["deployment"]["state"] == "live"


async def test_a_secret_in_the_path_is_in_no_trace(
    fake: FakeHook, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider)
    hook = fake.hook()
    hook["trigger"] |= {"url": httpserver.url_for("/hook/{secrets.token}"), "headers": {}}
    try:
        async with open_client([f"{httpserver.host}:{httpserver.port}"]) as traced:
            await deploy(fake, traced, hook=hook)
    finally:
        spans.stop()
    told = " ".join(span.to_json() for span in exporter.get_finished_spans())
    assert "/hook/deploys/42" in told
    assert TOKEN not in told


async def test_a_refusal_that_repeats_the_secret_is_told_without_it(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    fake.answers.append((403, {"detail": f"no access with {TOKEN}"}))
    assert await message(await deploy(fake, http), "Refused") == (
        "the deploy hook answered 403 FORBIDDEN: no access with [redacted]:"
        " the request carries DEPLOY_HOOK_TOKEN; is it valid, and allowed to do this?"
    )


async def test_an_answer_without_the_id_is_final_and_says_so(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    fake.answers.append((200, {"deployment": {"number": 7}}))
    assert "its answer has nothing at /deployment/id" in await message(await deploy(fake, http), "Terminal")


async def test_a_status_without_the_state_is_final_and_says_so(fake: FakeHook, http: httpx2.AsyncClient) -> None:
    hook = fake.hook()
    hook["status"]["state"] = "/data/state"
    said = await message(await deploy(fake, http, hook=hook), "Refused")
    assert "the status has nothing at /data/state" in said
    assert said.endswith("the deploy 42 goes on unwatched")


async def test_a_name_without_a_value_stops_it_before_anything_is_sent(
    fake: FakeHook, http: httpx2.AsyncClient
) -> None:
    hook = fake.hook()
    hook["trigger"]["url"] += "/{ref}"
    assert "{ref} has no value in this task" in await message(await deploy(fake, http, hook=hook), "Terminal")
