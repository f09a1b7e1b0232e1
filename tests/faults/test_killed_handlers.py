"""The five handlers on a whole system whose worker is killed under them: each outside effect happens once.

A worker dies between a step's effect and its result, the next one behind a result; so every task crashes twice, and
its third run has a process of its own.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from examples.centerpoint.services import CRM_PORT, WAREHOUSE_PORT, Crm, Warehouse
from orchestrator.chaos.stores import Stores
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.github import fake_github
from tests.fakes.openai import FakeOpenAI
from tests.fakes.render import SERVICE, FakeRender
from tests.fakes.replies import Call, Says
from tests.fakes.wire import Asked
from tests.faults.system import System, running_system, until

pytestmark = pytest.mark.xdist_group("killed-handlers")

EXAMPLE = Path(__file__).parents[2] / "examples" / "centerpoint" / "scripts"
FILES = {"README.md": "hello\n", "src/app.py": "def greet():\n    return 'hello'\n"}
WORKFLOW = {
    "steps": [
        {"id": "one", "uses": "hello", "with": {"name": "one", "seconds": 0.1}},
        {"id": "two", "uses": "hello", "with": {"name": "two", "seconds": 0.1}, "needs": ["one"]},
    ]
}


def code(asked: Asked) -> Says:
    """Edit, then be done: by how far the conversation is."""
    turn = sum(message["role"] == "assistant" for message in asked.json["messages"])
    edit = Call("edit_file", {"path": "src/app.py", "old": "'hello'", "new": "'goodbye'"})
    done = Call("done", {"title": "Say goodbye", "summary": "The greeting is polite now."})
    return Says(calls=[edit if turn == 0 else done])


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Any]:
    """Everything that the handlers reach, and the environment that leads there."""
    with ExitStack() as stack:
        anthropic, openai = stack.enter_context(FakeAnthropic()), stack.enter_context(FakeOpenAI())
        anthropic.otherwise, openai.otherwise = code, Says("# Otters\n\nThey hold hands.")
        github = stack.enter_context(fake_github())
        repository = github.add("acme/app", FILES)
        server = stack.enter_context(HTTPServer())
        render = FakeRender(server)
        render.add("c0ffee0")
        crm, warehouse = Crm(customers=5), Warehouse()
        for service in (crm, warehouse):
            service.start()
            stack.callback(service.stop)
        scripts = tmp_path / "scripts"
        shutil.copytree(EXAMPLE, scripts)
        manifest = scripts / "customers.toml"
        text = manifest.read_text().replace(f"127.0.0.1:{CRM_PORT}", crm.host)
        manifest.write_text(text.replace(f"127.0.0.1:{WAREHOUSE_PORT}", warehouse.host))
        environment = {
            "ANTHROPIC_API_KEY": anthropic.key,
            "ANTHROPIC_BASE_URL": anthropic.url,
            "OPENAI_API_KEY": openai.key,
            "OPENAI_BASE_URL": openai.base_url,
            "CENTERPOINT_SCRIPTS": str(scripts),
            "CRM_URL": f"http://{crm.host}",
            "CRM_TOKEN": crm.token,
            "WAREHOUSE_URL": f"http://{warehouse.host}",
            "WAREHOUSE_TOKEN": warehouse.token,
            "AUREA_ALLOW_PRIVATE_HOSTS": "127.0.0.1,localhost",
            **github.config,
            **render.config,
        }
        yield SimpleNamespace(
            environment=environment, github=github, repository=repository, render=render, warehouse=warehouse, crm=crm
        )


@pytest.fixture
async def system(tmp_path: Path, outside: Any) -> AsyncIterator[System]:
    stores = Stores(tmp_path)
    await stores.open()
    settings = {"TASK_LEASE_SECONDS": "2", **outside.environment}
    async with running_system(stores.postgres, stores.valkey, tmp_path, **settings) as started:
        yield started
    await stores.close()


TASKS: dict[str, dict[str, Any]] = {
    "code_pr": {"repository": "acme/app", "instruction": "Be polite", "provider": "anthropic"},
    "gen_content": {"prompt": "Write about otters.", "provider": "openai"},
    "centerpoint_sync": {"script": "customers.ts", "input": {"page_size": 2}},
    "mrg_deploy": {"provider": "render", "service": SERVICE, "commit": "deadbee", "poll_interval_seconds": 1},
    "aurea_action": {"workflow": WORKFLOW},
}


async def test_the_handlers_of_workers_that_are_killed_have_one_effect_each(system: System, outside: Any) -> None:
    for name in ("api", "scheduler"):
        system.start(name)
    await system.ready()
    asked = [{"type": kind, "payload": payload} for kind, payload in TASKS.items()]
    ids = dict(zip(TASKS, await system.submit(asked), strict=True))
    for name, point in (("worker1", "stepping:5"), ("worker2", "stepped:4")):
        system.start(name, AUREA_CRASH_AT=point)
        await until(lambda name=name: _died(system, name), 20)
    system.start("worker3")
    await system.drained(40)
    async with system.client() as client:
        ended = {kind: (await client.get(f"/tasks/{task_id}")).json() for kind, task_id in ids.items()}
        files = (await client.get(f"/tasks/{ids['gen_content']}/artifacts")).json()["items"]
        children = (await client.get("/tasks", params={"parent_id": ids["aurea_action"]})).json()["items"]
    assert {kind: task["status"] for kind, task in ended.items()} == dict.fromkeys(TASKS, "succeeded"), ended
    assert sum(task["attempt"] > 1 for task in ended.values()) >= 3, "hardly anything was killed"
    assert outside.github.problems == []
    assert len(outside.repository.pulls) == 1
    assert len([deploy for deploy in outside.render.deploys if deploy["trigger"] == "api"]) == 1
    assert [outside.warehouse.stored[each["id"]] for each in outside.crm.customers] == outside.crm.customers
    assert [file["name"] for file in files] == [ended["gen_content"]["result"]["artifact"]["name"]]
    assert sorted(child["payload"]["name"] for child in children) == ["one", "two"]


async def _died(system: System, name: str) -> bool:
    process = system.processes.get(name)
    if process is None or process.poll() is None:
        return False
    system.kept_down.add(name)
    system.processes.pop(name)
    return True
