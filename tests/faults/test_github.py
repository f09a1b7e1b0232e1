"""GitHub's own example payloads, signed, sent twice each, through the whole system: one task each, rightly routed."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path

import httpx2

from tests.conftest import Servers
from tests.faults.system import System, running_system

EXAMPLES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures" / "github_examples.jsonl").read_text().splitlines()
]
SECRET = "It's a Secret to Everybody"
RULES = """
[[rule]]
name = "all"
source = "github"
event = "*"
type = "routed"
[rule.payload]
event = "{{ event }}"
delivery = "{{ delivery }}"
"""


def delivery_id(number: int) -> str:
    return f"72d3162e-cc78-11e3-81ab-{number:012d}"


async def deliver(client: httpx2.AsyncClient, number: int) -> httpx2.Response:
    body = json.dumps(EXAMPLES[number]["body"]).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": EXAMPLES[number]["event"],
        "X-GitHub-Delivery": delivery_id(number),
        "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
    }
    return await client.post("/webhooks/github", content=body, headers=headers)


async def send_all_twice(system: System) -> tuple[list[httpx2.Response], list[httpx2.Response]]:
    numbers = range(len(EXAMPLES))
    async with httpx2.AsyncClient(base_url=system.url, timeout=30, trust_env=False) as client:
        first = await asyncio.gather(*[deliver(client, number) for number in numbers])
        second = await asyncio.gather(*[deliver(client, number) for number in numbers])
    return first, second


async def test_github_s_examples_sent_twice_make_one_task_each(own_servers: Servers, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    settings = {"GITHUB_WEBHOOK_SECRET": SECRET, "AUREA_WEBHOOK_RULES": str(rules)}
    async with running_system(own_servers.postgres, own_servers.valkey, tmp_path, **settings) as system:
        for name in ("api", "scheduler", "worker1"):
            system.start(name)
        await system.ready()
        first, second = await send_all_twice(system)
        assert {answer.status_code for answer in first} == {202}
        assert {answer.status_code for answer in second} == {200}
        assert [a.json()["id"] for a in first] == [b.json()["id"] for b in second]
        await system.drained(30)
        ended = await system.rows(
            "select type, status::text, result::text from orchestrator_tasks where type = 'routed' order by id"
        )
        made = sorted((json.loads(row["result"])["delivery"], json.loads(row["result"])["event"]) for row in ended)
        assert made == [(delivery_id(number), example["event"]) for number, example in enumerate(EXAMPLES)]
        received = await system.rows("select status::text from orchestrator_tasks where type = 'webhook_process'")
        assert [row["status"] for row in received] == ["succeeded"] * len(EXAMPLES)
