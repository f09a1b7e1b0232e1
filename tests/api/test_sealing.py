"""An encrypted tenant at the door: callers see plain values, and who lacks a key is told which and where to put it."""

import asyncio
from base64 import b64encode
from typing import Any

import orjson
from typer.testing import CliRunner, Result

from app import shapes
from app.cli.main import cli
from orchestrator.domain.events import EventKind
from orchestrator.domain.outcome import Succeeded
from orchestrator.domain.subscription import DELIVERIES
from orchestrator.operations.announce import Passed, announce
from orchestrator.sdk import Config
from orchestrator.settings import read_settings
from orchestrator.withheld import handler_config
from tests.api.door import Door, claim, end, fail, open_door, say, succeed

CANARY = "canary-4711-sings"
K1 = f"k1:{b64encode(bytes(range(32))).decode()}"
K2 = f"k2:{b64encode(bytes(range(1, 33))).decode()}"
ON: dict[str, Any] = {"aurea_encryption_keys": K1, "aurea_encrypt_tenants": ("acme",)}
ACME = {"Aurea-Tenant": "acme"}


async def shown(door: Door, path: str) -> str:
    answer = await door.http.get(path, headers=ACME)
    assert answer.status_code == 200, answer.text
    return answer.text


async def create(door: Door, text: str, **fields: Any) -> dict[str, Any]:
    answer = await door.http.post(
        "/tasks", headers=ACME, json={"type": "greet", "payload": {"text": text}, "max_retries": 0, **fields}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_every_answer_shows_what_the_tables_hide(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, **ON) as door:
        task = await create(door, CANARY, idempotency_key="once")
        assert task["payload"] == {"text": CANARY}
        again = await door.http.post(
            "/tasks",
            headers=ACME,
            json={"type": "greet", "payload": {"text": CANARY}, "max_retries": 0, "idempotency_key": "once"},
        )
        assert (again.status_code, again.json()["id"]) == (200, task["id"])
        claimed = await claim(door.runtime)
        await say(door.runtime, claimed, EventKind.PROGRESS, {"fraction": 0.5, "text": CANARY})
        seen = (await door.http.get(f"/tasks/{task['id']}", headers=ACME)).json()
        assert seen["progress"] == {"fraction": 0.5, "text": CANARY}
        await end(door.runtime, claimed, Succeeded(orjson.dumps({"said": CANARY})))
        batch = await door.http.post(
            "/tasks/batch", headers=ACME, json={"tasks": [{"type": "greet", "payload": {"text": CANARY}}]}
        )
        assert CANARY in batch.text
        await succeed(door.runtime, CANARY)
        dead = await create(door, CANARY)
        await fail(door.runtime)
        for path in (f"/tasks/{task['id']}", "/tasks", "/dead", f"/stream/{task['id']}"):
            assert CANARY in await shown(door, path), path
        assert "it broke" in await shown(door, "/dead?group=true")
        assert "it broke" in await shown(door, f"/tasks/{dead['id']}/runs")
        cancelled = await create(door, CANARY)
        assert CANARY in (await door.http.post(f"/tasks/{cancelled['id']}/cancel", headers=ACME)).text
        assert CANARY in (await door.http.post(f"/tasks/{dead['id']}/retry", headers=ACME)).text
        rows = await door.database.fetch(
            "select t::text from orchestrator_tasks t union all select r::text from orchestrator_runs r"
        )
        assert "aurea:sealed:1:k1:" in str(rows)
        assert CANARY not in str(rows)
        assert "it broke" not in str(rows)


async def test_sizes_are_those_of_the_plain_values(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, aurea_max_body_bytes=2048, **ON) as door:
        most = 2048 - len(orjson.dumps({"type": "greet", "max_retries": 0, "payload": {"text": ""}}))
        task = await create(door, "x" * most)
        assert len(task["payload"]["text"]) == most


async def test_without_the_key_a_problem_names_the_variable_and_lists_go_on(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, **ON) as door:
        task = await create(door, CANARY, idempotency_key="once")
    async with open_door(database_url, redis_url, **ON | {"aurea_encryption_keys": K2}) as door:
        refused = await door.http.get(f"/tasks/{task['id']}", headers=ACME)
        problem = refused.json()
        assert (refused.status_code, problem["code"], problem["key_id"]) == (503, "seal_key_missing", "k1")
        assert problem["variable"] == "AUREA_ENCRYPTION_KEYS"
        assert "AUREA_ENCRYPTION_KEYS" in problem["detail"]
        assert (await door.http.get(f"/stream/{task['id']}", headers=ACME)).status_code == 503
        repeat = await door.http.post(
            "/tasks",
            headers=ACME,
            json={"type": "greet", "payload": {"text": CANARY}, "max_retries": 0, "idempotency_key": "once"},
        )
        assert (repeat.status_code, repeat.json()["code"]) == (503, "seal_key_missing")
        assert (await door.http.get(f"/tasks/{task['id']}/why", headers=ACME)).json()["cause"] == "no_worker"
        (listed,) = orjson.loads(await shown(door, "/tasks"))["items"]
        assert "'k1'" in listed["payload"]["unreadable"]
        cancelled = await door.http.post(f"/tasks/{task['id']}/cancel", headers=ACME)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    async with open_door(database_url, redis_url, **ON) as door:  # the key is back, nothing was lost
        assert CANARY in (await door.http.post(f"/tasks/{task['id']}/retry", headers=ACME)).text


async def test_deliveries_that_cannot_be_read_are_listed(database_url: str, redis_url: str) -> None:
    signing = {"aurea_signing_secrets": ("m" * 40,)}
    async with open_door(database_url, redis_url, **ON | signing) as door:
        url = {"url": "https://example.com/hook"}
        made = (await door.http.post("/subscriptions", headers=ACME, json=url)).json()
        await create(door, CANARY)
        await succeed(door.runtime)
        await announce(door.runtime, Passed())
        await succeed(door.runtime, {"status": 200, "answer": CANARY}, DELIVERIES)
    async with open_door(database_url, redis_url, **ON | signing | {"aurea_encryption_keys": K2}) as door:
        await door.http.post(f"{made['links']['self']}/test", headers=ACME)
        new, old = orjson.loads(await shown(door, made["links"]["deliveries"]))["items"]
    assert new["event"] == "subscription.test"
    assert (old["event_id"], old["event"][:12], old["status"]) == (None, "unreadable: ", "succeeded")
    assert "'k1'" in old["event"]
    assert "'k1'" in old["answer"]["unreadable"]
    shapes.SubscriptionDelivery.model_validate(old, extra="forbid")


async def rotate(database_url: str, redis_url: str, keys: str) -> Result:
    variables = {
        "DATABASE_URL": database_url, "REDIS_URL": redis_url, "AUREA_ENCRYPTION_KEYS": keys,
        "AUREA_ENCRYPT_TENANTS": "acme",
    }  # fmt: skip
    return await asyncio.to_thread(CliRunner().invoke, cli, ["rotate-keys"], env=variables)


async def test_the_command_seals_everything_anew_and_says_what_is_left(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, **ON) as door:
        await create(door, CANARY)
        stuck = await rotate(database_url, redis_url, K2)
        assert (stuck.exit_code, stuck.stdout) == (1, "sealed anew: 0; left: 2\n")
        assert "'k1'" in stuck.stderr
        done = await rotate(database_url, redis_url, f"{K2},{K1}")
        assert (done.exit_code, done.stdout) == (0, "sealed anew: 2; left: 0\n"), done.stderr
        assert (await rotate(database_url, redis_url, K2)).stdout == "sealed anew: 0; left: 0\n"


async def test_the_command_says_that_endings_are_still_to_be_told(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, **ON, aurea_signing_secrets=("m" * 40,)) as door:
        await create(door, CANARY, callback_url="https://example.com/hook")
        await fail(door.runtime)
    waiting = await rotate(database_url, redis_url, f"{K2},{K1}")
    assert (waiting.exit_code, waiting.stdout[-9:]) == (1, " left: 0\n")
    assert "1 endings are still to be told" in waiting.stderr
    async with open_door(database_url, redis_url, **ON | {"aurea_encryption_keys": f"{K2},{K1}"}) as door:
        await announce(door.runtime, Passed())
    assert (await rotate(database_url, redis_url, K2)).exit_code == 0


def test_handlers_are_not_given_the_keys(monkeypatch: Any) -> None:
    monkeypatch.setenv("AUREA_ENCRYPTION_KEYS", K1)
    config: Config = handler_config(read_settings())
    assert "AUREA_ENCRYPTION_KEYS" not in config.values
