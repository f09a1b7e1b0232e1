"""GitHub's own example payloads, signed, sent three times each: one task each, rightly routed."""

import asyncio
import hashlib
import hmac
import json
import random
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


async def send_all_thrice(system: System) -> list[tuple[int, httpx2.Response]]:
    """Three of each, in no order, many at once."""
    numbers = list(range(len(EXAMPLES))) * 3
    random.Random(41).shuffle(numbers)
    async with httpx2.AsyncClient(base_url=system.url, timeout=30, trust_env=False) as client:
        answers = await asyncio.gather(*[deliver(client, number) for number in numbers])
    return list(zip(numbers, answers, strict=True))


async def test_github_s_examples_sent_three_times_in_no_order_make_one_task_each(
    own_servers: Servers, tmp_path: Path
) -> None:
    """Row 41: one task per delivery id; one answer says that it is new, the others that it is known."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    settings = {"GITHUB_WEBHOOK_SECRET": SECRET, "AUREA_WEBHOOK_RULES": str(rules)}
    async with running_system(own_servers.postgres, own_servers.valkey, tmp_path, **settings) as system:
        for name in ("api", "scheduler", "worker1"):
            system.start(name)
        await system.ready()
        answers = await send_all_thrice(system)
        known: dict[int, list[tuple[int, str]]] = {}
        for number, answer in answers:
            known.setdefault(number, []).append((answer.status_code, answer.json()["id"]))
        assert {tuple(sorted(status for status, _ in told)) for told in known.values()} == {(200, 200, 202)}
        assert {len({task_id for _, task_id in told}) for told in known.values()} == {1}
        await system.drained(30)
        ended = await system.rows(
            "select type, status::text, result::text from orchestrator_tasks where type = 'routed' order by id"
        )
        made = sorted((json.loads(row["result"])["delivery"], json.loads(row["result"])["event"]) for row in ended)
        assert made == [(delivery_id(number), example["event"]) for number, example in enumerate(EXAMPLES)]
        received = await system.rows("select status::text from orchestrator_tasks where type = 'webhook_process'")
        assert [row["status"] for row in received] == ["succeeded"] * len(EXAMPLES)
