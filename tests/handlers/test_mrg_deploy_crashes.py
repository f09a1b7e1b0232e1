"""mrg_deploy killed at every boundary of its steps: one deploy, one rollback, the same end."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from pytest_httpserver import HTTPServer

from handlers.mrg_deploy import mrg_deploy
from orchestrator.egress import open_client
from orchestrator.sdk import Terminal
from orchestrator.testing import FakeContext, TaskRun, run_task
from tests.fakes.deploy_hook import FakeHook
from tests.fakes.render import SERVICE, FakeRender

pytestmark = pytest.mark.asyncio(loop_scope="module")
NEW = "a1b2c3d4e5" * 4
PAYLOAD: dict[str, Any] = {"service": SERVICE, "commit": NEW}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(make_httpserver: HTTPServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_client([f"{make_httpserver.host}:{make_httpserver.port}"]) as client:
        yield client


async def good(render: FakeRender, http: httpx2.AsyncClient, kill_at: int | None) -> TaskRun:
    render.plans.append(("live",))
    return await run_task(mrg_deploy, PAYLOAD, config=render.config, http=http, kill_at=kill_at)


async def failing(render: FakeRender, http: httpx2.AsyncClient, kill_at: int | None) -> TaskRun:
    """It takes the old one down, fails, and is rolled back."""
    render.keeps_running = False
    render.plans.extend([("update_failed",), ("live",)])
    return await run_task(mrg_deploy, PAYLOAD, config=render.config, http=http, kill_at=kill_at)


async def queued(render: FakeRender, http: httpx2.AsyncClient, kill_at: int | None) -> TaskRun:
    render.policy = "wait"
    render.add("7" * 40, "build_in_progress")
    render.plans.append(("live",))
    return await run_task(mrg_deploy, PAYLOAD, config=render.config, http=http, kill_at=kill_at)


async def late(render: FakeRender, http: httpx2.AsyncClient, kill_at: int | None) -> TaskRun:
    render.plans.append(())
    payload = PAYLOAD | {"deploy_timeout_seconds": 5}
    return await run_task(mrg_deploy, payload, config=render.config, http=http, kill_at=kill_at)


@pytest.mark.parametrize(
    ("scene", "asked"),
    [
        (good, ["deploy"]),
        (failing, ["deploy", "rollback"]),
        (queued, ["deploy"]),
        (late, ["deploy", "cancel"]),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
async def test_a_task_killed_at_any_boundary_deploys_once(
    httpserver: HTTPServer, http: httpx2.AsyncClient, scene: Any, asked: list[str]
) -> None:
    ends, boundaries = set(), 1
    for kill_at in itertools.count():  # 0: never
        httpserver.clear()
        render = FakeRender(httpserver)
        render.add("0" * 40)
        run = await scene(render, http, kill_at or None)
        boundaries = boundaries if kill_at else run.boundaries
        kinds = [kind for kind, _ in render.asked]
        assert list(dict.fromkeys(kinds)) == asked, kill_at
        assert kinds.count("deploy") == 1, kill_at
        assert kinds.count("rollback") <= 1, kill_at
        ends.add((repr(run.result), repr(run.error and run.error.message), repr(render.statuses)))
        if kill_at == boundaries:
            break
    assert boundaries > 8
    assert len(ends) == 1


async def test_a_hook_that_knows_no_keys_is_asked_for_what_was_begun(
    httpserver: HTTPServer, http: httpx2.AsyncClient
) -> None:
    for kill_at in range(1, 30):
        httpserver.clear()
        fake = FakeHook(httpserver, knows_keys=False)
        fake.plans.append(("live",))
        find = {"url": httpserver.url_for("/hook/deploys?external_id={key}"), "id": "/0/id"}
        hook = fake.hook(find=find | {"headers": {"Authorization": "Bearer {secrets.token}"}})
        payload = {"provider": "hook", "service": "web", "commit": NEW, "hook": hook}
        run = await run_task(mrg_deploy, payload, config=fake.config, http=http, kill_at=kill_at)
        assert run.result["deployment"]["id"] == "42", kill_at
        assert len(fake.begun) == 1, kill_at
        if kill_at >= run.boundaries:
            return
    pytest.fail("it has more boundaries than expected")


class Contender(FakeContext):
    """A task among others: its lock is one that others hold too, and each holder has a fence of its own."""

    def __init__(self, locks: dict[str, asyncio.Lock], fence: int, **given: Any) -> None:
        super().__init__(**given)
        self._locks = locks
        self._own_fence = fence

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[int]:
        async with self._locks.setdefault(name, asyncio.Lock()):
            yield self._own_fence


async def test_two_tasks_deploy_one_service_one_after_the_other(
    httpserver: HTTPServer, http: httpx2.AsyncClient
) -> None:
    render, locks = FakeRender(httpserver), {}
    tasks = [Contender(locks, fence, config=render.config, http=http) for fence in (1, 2)]
    first, second = await asyncio.gather(*[mrg_deploy(mrg_deploy.validate(PAYLOAD), each) for each in tasks])
    assert render.statuses == {"dep-1": "deactivated", "dep-2": "live"}
    assert (first["deployment"]["id"], second["deployment"]["id"]) == ("dep-1", "dep-2")
    assert second["before"]["id"] == "dep-1"
    assert list(locks) == [f"deploy:render:{SERVICE}"]
    one = render.calls.index(f"POST /services/{SERVICE}/deploys")
    two = render.calls.index(f"POST /services/{SERVICE}/deploys", one + 1)
    assert render.calls[one + 1 : two].count(f"GET /services/{SERVICE}/deploys/dep-1") == 3


@pytest.mark.parametrize(("fence", "deploys"), [(1, 1), (2, 2)])
async def test_a_deploy_that_is_over_is_only_ours_while_nobody_else_had_the_lock(
    httpserver: HTTPServer, http: httpx2.AsyncClient, fence: int, deploys: int
) -> None:
    render = FakeRender(httpserver)
    render.fail("POST", "/deploys", 502, done=True)
    task = Contender({}, 1, config=render.config, http=http)
    with pytest.raises(Exception, match="Render answered 502"):
        await mrg_deploy(mrg_deploy.validate(PAYLOAD), task)
    render.deploys[0]["status"] = "build_failed"
    again = Contender({}, fence, config=render.config, http=http, steps=task.record.steps)
    with suppress(Terminal):
        await mrg_deploy(mrg_deploy.validate(PAYLOAD), again)
    assert len(render.deploys) == deploys


@pytest.mark.parametrize(
    ("since", "commit", "found"),
    [
        ({"commit": NEW, "trigger": "api"}, NEW, True),
        ({"commit": NEW, "trigger": "api"}, NEW[:7].upper(), True),
        ({"commit": "9" * 40, "trigger": "api"}, NEW, False),
        ({"commit": NEW, "trigger": "new_commit"}, NEW, False),
        ({"commit": NEW, "trigger": "deploy_hook"}, NEW, False),
        ({"commit": "9" * 40, "trigger": "api"}, None, True),
    ],
)
async def test_what_was_begun_is_known_by_its_trigger_and_its_commit(
    httpserver: HTTPServer, http: httpx2.AsyncClient, since: dict[str, str], commit: str | None, found: bool
) -> None:
    render = FakeRender(httpserver)
    render.add(NEW, trigger="api")  # it was there before: never ours
    render.fail("POST", "/deploys", 503)
    payload = PAYLOAD | {"commit": commit, "deploy_timeout_seconds": 5}
    first = await run_task(mrg_deploy, payload, config=render.config, http=http)
    render.add(**since, status="build_in_progress")
    run = await run_task(mrg_deploy, payload, config=render.config, http=http, attempt=2, steps=first.steps)
    assert run.steps["deploy: begin"]["id"] == ("dep-2" if found else "dep-3")


async def test_of_several_that_could_be_ours_the_oldest_is(httpserver: HTTPServer, http: httpx2.AsyncClient) -> None:
    render = FakeRender(httpserver)
    render.fail("POST", "/deploys", 502)
    first = await run_task(mrg_deploy, PAYLOAD, config=render.config, http=http)
    render.add(NEW, "live", "api")
    render.add(NEW, "build_in_progress", "api")
    run = await run_task(mrg_deploy, PAYLOAD, config=render.config, http=http, attempt=2, steps=first.steps)
    assert run.result["deployment"]["id"] == "dep-1"
