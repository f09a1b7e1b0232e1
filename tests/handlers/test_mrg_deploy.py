"""mrg_deploy at Render: what a deployment goes through, and what the task says of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from pytest_httpserver import HTTPServer
from werkzeug import Response

from handlers.mrg_deploy import mrg_deploy
from orchestrator.egress import open_client
from orchestrator.testing import TaskRun, run_task
from tests.fakes.render import KEY, SERVICE, FakeRender

pytestmark = pytest.mark.asyncio(loop_scope="module")
OLD, NEW = "0ld" * 13 + "0", "a1b2c3d4e5" * 4
BROKEN = ("build_in_progress", "build_failed")


@pytest.fixture
def render(httpserver: HTTPServer) -> FakeRender:
    fake = FakeRender(httpserver)
    fake.add(OLD)
    return fake


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(make_httpserver: HTTPServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_client([f"{make_httpserver.host}:{make_httpserver.port}"]) as client:
        yield client


async def deploy(render: FakeRender, http: httpx2.AsyncClient, **payload: Any) -> TaskRun:
    payload = {"service": SERVICE, "commit": NEW, **payload}
    if payload.get("action", "deploy") != "deploy":
        del payload["commit"]
    run = await run_task(mrg_deploy, payload, config=render.config, http=http)
    assert KEY not in repr((run.result, run.error, run.logs, run.progress, run.steps))
    return run


async def failure(render: FakeRender, http: httpx2.AsyncClient, **payload: Any) -> str:
    error = (await deploy(render, http, **payload)).error
    assert error is not None
    assert (error.type, error.retryable) == ("DeployFailed", False)
    return error.message


def health(server: HTTPServer, *statuses: int) -> str:
    """Return a URL that answers with these in turn; the last one stays."""
    for status in statuses[:-1]:
        server.expect_oneshot_request("/health").respond_with_data(status=status)
    server.expect_request("/health").respond_with_data(status=statuses[-1])
    return server.url_for("/health?key=h")


async def test_a_deploy_is_begun_once_and_watched_until_it_is_live(
    render: FakeRender, http: httpx2.AsyncClient
) -> None:
    run = await deploy(render, http, clear_cache=True)
    assert render.asked == [("deploy", {"clearCache": "clear", "commitId": NEW})]
    assert run.result["deployment"] | {"created_at": None} == {
        "id": "dep-2",
        "state": "live",
        "status": "live",
        "source": NEW,
        "digest": None,
        "trigger": "api",
        "created_at": None,
    }
    assert run.result["before"]["id"] == "dep-1"
    assert run.result["health"] is None


async def test_each_status_is_told_once(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.plans.append(("build_in_progress", "build_in_progress", "build_in_progress", "live"))
    run = await deploy(render, http)
    assert [line.text for line in run.logs] == [
        "Render: deploy dep-2 (a1b2c3d4e5) begun",
        "Render: deploy dep-2 (a1b2c3d4e5) build_in_progress",
        "Render: deploy dep-2 (a1b2c3d4e5) live",
    ]
    assert [(told.fraction, told.text) for told in run.progress] == [
        (0.1, "deploy created"),
        (0.3, "deploy build_in_progress"),
        (0.9, "deploy live"),
    ]


async def test_an_image_is_deployed(render: FakeRender, http: httpx2.AsyncClient) -> None:
    image = "registry.example.com/web:2"
    run = await deploy(render, http, commit=None, image=image)
    assert render.asked == [("deploy", {"clearCache": "do_not_clear", "imageUrl": image})]
    assert run.result["deployment"]["source"] == image


async def test_a_healthy_deploy_succeeds(render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    url = health(httpserver, 200, 503, 200)
    run = await deploy(render, http, health_url=url)
    assert run.result["health"] == {"healthy": True, "detail": "it answers 200", "tries": 2}
    assert "key=h" not in repr(run.logs)


async def test_a_failed_build_leaves_the_deploy_before_running_and_says_so(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.plans.append(BROKEN)
    message = await failure(render, http, health_url=health(httpserver, 200))
    assert message == (
        "the deploy dep-2 (a1b2c3d4e5) ended as build_failed; dep-1 (0ld0ld0ld0), live before, was not replaced"
        " and still runs and is healthy"
    )
    assert [kind for kind, _ in render.asked] == ["deploy"]


async def test_a_failure_that_took_the_old_one_down_is_rolled_back_and_verified(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.keeps_running = False
    render.plans.append(("update_in_progress", "update_failed"))
    message = await failure(render, http, health_url=health(httpserver, 200, 503, 200))
    assert message == (
        "the deploy dep-2 (a1b2c3d4e5) ended as update_failed; rolled back to dep-1 (0ld0ld0ld0):"
        " dep-3 (0ld0ld0ld0) is live and is healthy"
    )
    assert render.asked[1:] == [("rollback", {"deployId": "dep-1"})]
    assert render.statuses == {"dep-1": "deactivated", "dep-2": "update_failed", "dep-3": "live"}


async def test_a_deploy_that_is_not_healthy_is_rolled_back_and_verified(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    url = health(httpserver, 200, 500, 500, 200)
    message = await failure(render, http, health_url=url, health_tries=2)
    assert message == (
        "the deploy dep-2 (a1b2c3d4e5) is live, but not healthy: it answers 500 (tries: 2);"
        " rolled back to dep-1 (0ld0ld0ld0): dep-3 (0ld0ld0ld0) is live and is healthy"
    )
    assert render.statuses["dep-3"] == "live"


async def test_a_rollback_that_is_not_healthy_either_is_told(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    message = await failure(render, http, health_url=health(httpserver, 200, 500), health_tries=1)
    assert message.endswith("dep-3 (0ld0ld0ld0) is live, but it is not healthy: it answers 500")


async def test_a_rollback_that_fails_is_told_with_what_runs(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.plans.extend([("live",), ("update_failed",)])
    message = await failure(render, http, health_url=health(httpserver, 200, 500), health_tries=1)
    assert message.endswith(
        "the rollback to dep-1 (0ld0ld0ld0) failed too: dep-3 (0ld0ld0ld0) ended as update_failed;"
        " what runs now is dep-2 (a1b2c3d4e5)"
    )


async def test_a_rollback_that_is_refused_is_told_with_what_runs(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.fail("POST", "/rollback", 400, {"message": "the build of dep-1 is no longer kept"})
    message = await failure(render, http, health_url=health(httpserver, 200, 500), health_tries=1)
    assert message.endswith(
        "the rollback to dep-1 (0ld0ld0ld0) failed: Render answered 400 BAD REQUEST: the build of dep-1 is no longer"
        " kept; what runs now is dep-2 (a1b2c3d4e5)"
    )


async def test_without_an_earlier_good_deploy_nothing_can_be_rolled_back(
    http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render = FakeRender(httpserver)
    render.plans.append(BROKEN)
    message = await failure(render, http)
    assert message == (
        "the deploy dep-1 (a1b2c3d4e5) ended as build_failed; not rolled back: there is no earlier good deployment to"
        " roll back to; what runs now is not known"
    )


async def test_a_rollback_that_is_not_wanted_is_not_made(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    url = health(httpserver, 200, 500)
    message = await failure(render, http, health_url=url, health_tries=1, rollback_on_failure=False)
    assert "not rolled back, because rollback_on_failure is false; what runs now is dep-2 (a1b2c3d4e5)" in message
    assert [kind for kind, _ in render.asked] == ["deploy"]


async def test_a_named_deploy_is_what_a_failure_goes_back_to(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.add("f" * 40)
    url = health(httpserver, 200, 500)
    message = await failure(render, http, health_url=url, health_tries=1, rollback_to="dep-1")
    assert "rolled back to dep-1 (0ld0ld0ld0)" in message


async def test_a_deploy_that_somebody_cancels_is_left_alone(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.plans.append(("build_in_progress", "canceled"))
    assert await failure(render, http) == (
        "the deploy dep-2 (a1b2c3d4e5) was cancelled, not by this task; nothing was rolled back;"
        " what runs now is dep-1 (0ld0ld0ld0)"
    )


async def test_a_deploy_that_was_replaced_is_left_alone(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.plans.append(("live",))

    def push(_: Any) -> Any:
        render.add("9" * 40)
        return Response(status=500)

    httpserver.expect_oneshot_request("/health").respond_with_data()
    httpserver.expect_request("/health").respond_with_handler(push)
    message = await failure(render, http, health_url=httpserver.url_for("/health"), health_tries=1)
    assert message == (
        "the deploy dep-2 (a1b2c3d4e5) was replaced by a newer deployment, not by this task; nothing was rolled back;"
        " what runs now is dep-3 (9999999999)"
    )


async def test_a_rollback_does_not_undo_what_somebody_began_since(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.plans.append(("live",))

    def push(_: Any) -> Any:
        render.add("9" * 40, "build_in_progress")
        return Response(status=500)

    httpserver.expect_oneshot_request("/health").respond_with_data()
    httpserver.expect_request("/health").respond_with_handler(push)
    message = await failure(render, http, health_url=httpserver.url_for("/health"), health_tries=1)
    assert message.endswith(
        "not rolled back, because dep-3 (9999999999), which somebody else began since, is under way"
    )


async def test_a_deploy_that_takes_too_long_is_stopped(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.plans.append(("build_in_progress",))
    message = await failure(render, http, deploy_timeout_seconds=30)
    assert message.startswith("the deploy dep-2 (a1b2c3d4e5) was not live within 30 s; dep-1")
    assert render.statuses == {"dep-1": "live", "dep-2": "canceled"}


async def test_a_deploy_that_is_live_at_the_last_moment_is_not_stopped(
    render: FakeRender, http: httpx2.AsyncClient
) -> None:
    render.plans.append(("build_in_progress", "live"))
    render.fail("POST", "/cancel", 409)
    run = await deploy(render, http, deploy_timeout_seconds=10)
    assert run.result["deployment"]["state"] == "live"


async def test_a_deploy_that_waits_for_another_one_is_found_when_it_appears(
    render: FakeRender, http: httpx2.AsyncClient
) -> None:
    render.policy = "wait"
    render.add("7" * 40, "build_in_progress")
    run = await deploy(render, http)
    assert [kind for kind, _ in render.asked] == ["deploy"]
    assert run.result["deployment"]["id"] == "dep-3"
    assert run.logs[0].text == "Render: the deploy is accepted and waits for its turn"


async def test_a_rollback_goes_to_the_deploy_before(render: FakeRender, http: httpx2.AsyncClient) -> None:
    render.add("5" * 40)
    render.add("6" * 40, "build_failed")
    run = await deploy(render, http, action="rollback")
    assert render.asked == [("rollback", {"deployId": "dep-1"})]
    assert run.result["deployment"]["source"] == OLD
    assert run.result["before"]["id"] == "dep-2"


async def test_a_second_rollback_does_not_go_back_to_what_the_first_one_left(
    render: FakeRender, http: httpx2.AsyncClient
) -> None:
    for commit in ("5" * 40, "6" * 40):
        render.add(commit)
    for wanted in ("dep-2", "dep-1"):
        await deploy(render, http, action="rollback")
        assert render.asked[-1] == ("rollback", {"deployId": wanted})


async def test_a_rollback_target_is_found_on_a_later_page(render: FakeRender, http: httpx2.AsyncClient) -> None:
    for _ in range(25):
        render.add("6" * 40, "build_failed")
    render.add("7" * 40)
    await deploy(render, http, action="rollback")
    assert render.asked == [("rollback", {"deployId": "dep-1"})]
    assert render.pages == 1


async def test_a_rollback_without_a_target_says_so(render: FakeRender, http: httpx2.AsyncClient) -> None:
    message = await failure(render, http, action="rollback")
    assert message == (
        "not rolled back: there is no earlier good deployment to roll back to; what runs now is dep-1 (0ld0ld0ld0)"
    )


async def test_a_status_tells_what_runs_and_changes_nothing(
    render: FakeRender, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    render.add("6" * 40, "build_failed")
    run = await deploy(render, http, action="status", health_url=health(httpserver, 200))
    assert (run.result["deployment"]["id"], run.result["newest"]["id"]) == ("dep-1", "dep-2")
    assert run.result["health"]["healthy"]
    assert render.asked == []
