"""No secret is ever told: every handler succeeds and fails with canaries for keys, and nobody sees them again."""

import asyncio
import logging
import os
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pytest_httpserver import HTTPServer

from handlers.aurea_action import aurea_action
from handlers.gen_content import gen_content
from handlers.hello import hello
from handlers.http_request import http_request
from handlers.mrg_deploy import mrg_deploy
from handlers.webhook_deliver import webhook_deliver
from handlers.webhook_process import webhook_process
from orchestrator.clock import SystemClock
from orchestrator.discovery import discover
from orchestrator.egress import open_client
from orchestrator.models.asking import Heard
from orchestrator.models.faults import Fault
from orchestrator.models.models import open_models
from orchestrator.models.verdict import Trouble, verdict
from orchestrator.sdk import ModelReply, ModelRequest, Usage
from orchestrator.settings import Settings
from orchestrator.testing import TaskRun, run_task
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.deploy_hook import FakeHook
from tests.fakes.gemini import FakeGemini
from tests.fakes.openai import FakeOpenAI
from tests.fakes.render import SERVICE, FakeRender
from tests.fakes.replies import FakeModel, Says
from tests.handlers.canaries import PLANTED, Watch
from tests.handlers.centerpoint_scripts import Scripts
from tests.handlers.coder import EDIT, FINISH, open_scene, use

FAKES: dict[str, type[FakeModel]] = {"anthropic": FakeAnthropic, "openai": FakeOpenAI, "gemini": FakeGemini}
COMMIT = "a1b2c3d4e5" * 4


@dataclass
class Stage:
    """What a scenario works with."""

    watch: Watch
    http: httpx2.AsyncClient
    server: HTTPServer
    folder: Path


@pytest.fixture
def watch(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watch]:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    watch = Watch(caplog, capfd)
    with watch.on():
        yield watch


Scenario = Callable[[Stage], Awaitable[tuple[TaskRun, TaskRun]]]
"""Returns a run that succeeded and one that failed."""


async def say_hello(stage: Stage) -> tuple[TaskRun, TaskRun]:
    config = stage.watch.config()
    return (
        await run_task(hello, {"seconds": 0}, config=config),
        await run_task(hello, {"seconds": -1}, config=config),
    )


async def call_out(stage: Stage) -> tuple[TaskRun, TaskRun]:
    secret = "header-canary-8Hq"
    stage.watch.look_for(secret, "query-canary-8Hq", "body-canary-8Hq")
    stage.server.expect_request("/fine").respond_with_data("fine")
    stage.server.expect_request("/broken").respond_with_data("broken", status=403)

    async def call(path: str) -> TaskRun:
        url = stage.server.url_for(f"{path}?key=query-canary-8Hq")
        headers = {"Authorization": f"Bearer {secret}", "X-Api-Key": secret}
        payload = {"method": "POST", "url": url, "headers": headers, "json": {"password": "body-canary-8Hq"}}
        return await run_task(http_request, payload, http=stage.http, config=stage.watch.config())

    return await call("/fine"), await call("/broken")


async def route(stage: Stage) -> tuple[TaskRun, TaskRun]:
    rules = stage.folder / "rules.toml"
    rules.write_text('[[rule]]\nname = "a"\nsource = "b"\ntype = "hello"\npayload = { name = "{{ body.name }}" }\n')
    config = stage.watch.config(AUREA_WEBHOOK_RULES=str(rules))

    async def deliver(body: Any) -> TaskRun:
        delivery = {"source": "b", "event": "push", "delivery": "1", "body": body}
        return await run_task(webhook_process, delivery, config=config)

    return await deliver({"name": "x"}), await deliver({})


async def tell_end(stage: Stage) -> tuple[TaskRun, TaskRun]:
    stage.watch.look_for("query-canary-5Hd")
    stage.server.expect_request("/hook").respond_with_data("thanks")
    stage.server.expect_request("/closed").respond_with_data("no", status=410)

    async def deliver(path: str) -> TaskRun:
        event = {"id": "evt_1", "type": "task.failed", "timestamp": "2026-11-20T10:00:00Z", "data": {}}
        payload = {"url": stage.server.url_for(f"{path}?key=query-canary-5Hd"), "event": event}
        return await run_task(webhook_deliver, payload, http=stage.http, config=stage.watch.config())

    return await deliver("/hook"), await deliver("/closed")


async def act(stage: Stage) -> tuple[TaskRun, TaskRun]:
    config = stage.watch.config()

    async def play(name: str) -> TaskRun:
        workflow = {"steps": [{"id": "a", "uses": "hello", "with": {"name": name}}]}
        return await run_task(aurea_action, {"workflow": workflow}, config=config, children={"hello": "done"})

    return await play("x"), await play("{{ config.GITHUB_TOKEN }}")


async def change_code(stage: Stage) -> tuple[TaskRun, TaskRun]:
    """The check prints its whole environment; the failing run has a token that GitHub repeats."""
    async with open_scene() as scene:
        scene.github.add("acme/app", {"src/app.py": "'hello'", "check.sh": "env; cat /proc/self/environ; true"})
        allowed = stage.watch.config(scene.github.config, AUREA_CODE_CHECKS="true", PATH=os.environ["PATH"])
        good = await scene.run(EDIT, use("run_check"), FINISH, check=["sh", "check.sh"], config=allowed)
        url = scene.github.config["GITHUB_API_URL"]
        return good, await scene.run(config=stage.watch.config(GITHUB_API_URL=url))


async def sync(stage: Stage) -> tuple[TaskRun, TaskRun]:
    scripts = Scripts(stage.folder)
    scripts.write(
        """
        const token = Deno.env.get("CRM_TOKEN")!;
        console.log(token); console.error("Bearer " + token);
        console.log(JSON.stringify({type: "progress", fraction: 0.5, text: token}));
        if (Deno.env.get("FAIL") === "yes") throw new Error("refused " + token);
        console.log(JSON.stringify({type: "result", value: {token}}));
        """,
        '[permissions]\nenv = ["CRM_TOKEN", "FAIL"]',
    )
    config = stage.watch.config(scripts.config, CRM_TOKEN="canary-of-the-crm-5T")
    runs = []
    for fail in ("no", "yes"):
        scripts.config = {**config, "FAIL": fail}
        runs.append(await scripts.run())
    return runs[0], runs[1]


async def deploy(stage: Stage) -> tuple[TaskRun, TaskRun]:
    """The failing run has a key that Render repeats."""
    render = FakeRender(stage.server)
    payload = {"service": SERVICE, "commit": COMMIT}
    good = stage.watch.config(render.config)
    wrong = stage.watch.config(good, RENDER_API_KEY="rnd_wrong_canary_81")
    return (
        await run_task(mrg_deploy, payload, config=good, http=stage.http),
        await run_task(mrg_deploy, payload, config=wrong, http=stage.http),
    )


async def deploy_by_hook(stage: Stage) -> tuple[TaskRun, TaskRun]:
    hook = FakeHook(stage.server)
    payload = {"provider": "hook", "service": "web", "hook": hook.hook(), "commit": COMMIT}
    good = stage.watch.config(hook.config)
    wrong = stage.watch.config(good, DEPLOY_HOOK_TOKEN="wrong-canary-of-the-hook")
    return (
        await run_task(mrg_deploy, payload, config=good, http=stage.http),
        await run_task(mrg_deploy, payload, config=wrong, http=stage.http),
    )


def write_with(provider: str) -> Scenario:
    """The provider's own SDK asks a fake provider, which repeats a key that is wrong."""

    async def write(stage: Stage) -> tuple[TaskRun, TaskRun]:
        runs = []
        with FAKES[provider]() as fake:
            fake.otherwise = Says("Otters hold hands.")
            base_url = fake.base_url if isinstance(fake, FakeOpenAI) else fake.url
            for key in (fake.key, f"{fake.key}-wrong"):
                variable = f"{provider.upper()}_API_KEY"
                settings = Settings(_env_file=None, **{variable.lower(): key, f"{provider}_base_url": base_url})
                config = stage.watch.config({variable: key})
                payload = {"prompt": "Write.", "provider": provider}
                runs.append(await run_task(gen_content, payload, config=config, models=asked_through(settings)))
        return runs[0], runs[1]

    return write


def asked_through(settings: Settings) -> Callable[[ModelRequest], ModelReply]:
    """Return a function that asks as a worker does, in a loop of its own, and without a budget."""

    async def ask(request: ModelRequest) -> ModelReply:
        models = open_models(settings.model_accesses, settings.aurea_model_chain, None, SystemClock())
        (candidate,) = models.candidates(request)
        try:
            answer = await models.ask(candidate, request, Heard())
        except Fault as fault:
            raise verdict([Trouble(candidate, fault)]) from fault
        finally:
            await models.close()
        return ModelReply(answer.text, candidate.provider, candidate.model, answer.stop, answer.usage or Usage(), 0.0)

    def in_its_own_loop(request: ModelRequest) -> ModelReply:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, ask(request)).result()

    return in_its_own_loop


SCENARIOS: dict[str, Scenario] = {
    "hello": say_hello,
    "http_request": call_out,
    "webhook_process": route,
    "webhook_deliver": tell_end,
    "aurea_action": act,
    "code_pr": change_code,
    "centerpoint_sync": sync,
    "mrg_deploy": deploy,
    "mrg_deploy by a hook": deploy_by_hook,
    **{f"gen_content by {provider}": write_with(provider) for provider in FAKES},
}


def test_every_handler_has_its_scenario() -> None:
    assert {name.partition(" ")[0] for name in SCENARIOS} == set(discover([]).known())


@pytest.mark.parametrize("name", SCENARIOS)
async def test_no_secret_is_told(name: str, watch: Watch, httpserver: HTTPServer, tmp_path: Path) -> None:
    async with open_client([f"{httpserver.host}:{httpserver.port}"]) as http:
        succeeded, failed = await SCENARIOS[name](Stage(watch, http, httpserver, tmp_path))
    assert succeeded.error is None
    assert failed.error is not None
    watch.saw(succeeded, failed)
    assert watch.leaks() == []


@pytest.mark.parametrize("disguise", ["{}", "Bearer {}!", "https://x/?k={}&y", "base64"])
async def test_a_secret_in_a_run_is_found(watch: Watch, disguise: str) -> None:
    secret = PLANTED["GITHUB_TOKEN"]
    told = b64encode(f"user:{secret}".encode()).decode() if disguise == "base64" else disguise.format(secret)
    watch.saw(await run_task(hello, {"seconds": 0, "name": told}))
    assert watch.leaks() != []


@pytest.mark.parametrize(
    "tell",
    [
        print,
        lambda secret: os.write(2, secret.encode()),
        lambda secret: logging.getLogger("some.sdk").debug("sent %s", secret),
        lambda secret: logging.getLogger("some.sdk").debug("sent", extra={"headers": {"X-Key": secret}}),
    ],
)
def test_a_secret_that_is_printed_or_logged_is_found(watch: Watch, tell: Callable[[str], None]) -> None:
    tell(PLANTED["SLACK_SIGNING_SECRET"])
    assert len(watch.leaks()) == 1


async def test_a_secret_in_a_span_is_found(watch: Watch, httpserver: HTTPServer) -> None:
    async with open_client([f"{httpserver.host}:{httpserver.port}"]) as http:
        await http.get(httpserver.url_for(f"/{PLANTED['GITHUB_TOKEN']}"))
    assert len(watch.leaks()) == 1
