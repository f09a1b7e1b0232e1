"""Two tenants in one system: theirs has a task in every state with something in every field, mine has a few."""

from dataclasses import dataclass, field
from typing import Any

import httpx2
import redis

from orchestrator.domain.delivery import Arrival
from orchestrator.domain.events import EventKind
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.outcome import Failed, Parked, Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.steps import Step, StepKind, Wait
from orchestrator.domain.task import Claim, TaskError
from orchestrator.operations.artifact import keep
from orchestrator.operations.park import park
from orchestrator.operations.receive import receive
from orchestrator.operations.record import begin_steps, save_step
from orchestrator.operations.request import Origin, TaskRequest
from tests.api.door import WORKER, Door, end, say

MINE, THEIRS = Tenant("mine"), Tenant("theirs")
CANARY = "zqcanary"
"""Stands in whatever theirs put into the system, but for the names of queues."""
WORDS = {MINE: "zqmyword", THEIRS: CANARY}
QUEUE = "zqqueue"
TENANT_TABLES = "select distinct table_name from information_schema.columns where column_name = 'tenant' order by 1"


@dataclass
class Things:
    """What a tenant has besides tasks: their ids."""

    file: str
    subscription: str
    told_task: str
    delivery: str
    api_key: str


@dataclass
class World:
    door: Door
    mine: dict[str, TaskId] = field(default_factory=dict)
    theirs: dict[str, TaskId] = field(default_factory=dict)
    """Tasks by how they stand."""
    things: dict[Tenant, Things] = field(default_factory=dict)
    running: dict[Tenant, Claim] = field(default_factory=dict)

    async def ask(self, tenant: Tenant, method: str, path: str, **given: Any) -> httpx2.Response:
        headers = {"Aurea-Tenant": tenant, **given.pop("headers", {})}
        return await self.door.http.request(method, path, headers=headers, **given)

    async def of(self, tenant: Tenant, redis_admin: redis.Redis) -> list[Any]:
        """All that either store holds of a tenant; equal before and after what did not touch it."""
        held: list[Any] = []
        for (table,) in await self.door.database.fetch(TENANT_TABLES):
            rows = f"select t::text from {table} t where tenant = $1 order by 1"
            held.append([row["t"] for row in await self.door.database.fetch(rows, tenant)])
        ids = self.theirs if tenant == THEIRS else self.mine
        keys = [key for key in redis_admin.scan_iter() if any(task_id in key.decode() for task_id in ids.values())]
        return [*held, *((key, redis_admin.dump(key)) for key in sorted(keys))]


async def populate(door: Door) -> World:
    world = World(door)
    for tenant, tasks in ((MINE, world.mine), (THEIRS, world.theirs)):
        await _fill(world, tenant, tasks, WORDS[tenant])
    return world


async def _fill(world: World, tenant: Tenant, tasks: dict[str, TaskId], word: str) -> None:
    runtime = world.door.runtime

    async def submit(state: str, **fields: Any) -> TaskId:
        body = {
            "type": "greet", "payload": {"text": word}, "tags": {"team": word, word: "x"},
            "idempotency_key": f"{word}-{state}", "queue": f"{QUEUE if tenant == THEIRS else word}-{state}",
        }  # fmt: skip
        answer = await world.ask(tenant, "POST", "/tasks", json={**body, **fields})
        assert answer.status_code == 201, answer.text
        tasks[state] = TaskId(answer.json()["id"])
        return tasks[state]

    async def run(state: str) -> Claim:
        task_id = await submit(state)
        (claimed,) = await runtime.queue.claim(WORKER, f"{QUEUE if tenant == THEIRS else word}-{state}", 1, 60_000)
        assert claimed.entry.id == task_id
        await runtime.ledger.start([claimed])
        return claimed

    await submit("queued")
    await submit("scheduled", delay_seconds=3600)
    running = world.running[tenant] = await run("running")
    await say(runtime, running, EventKind.LOG, {"text": word, "fields": {}})
    await save_step(runtime, running, word, f'"{word}"'.encode())
    succeeded = await run("succeeded")
    await say(runtime, succeeded, EventKind.LOG, {"text": word, "fields": {}})
    file = await keep(runtime, succeeded, word, word.encode(), "text/plain", "content")
    world.things[tenant] = await _have(world, tenant, word, file.id)
    await end(runtime, succeeded, Succeeded(f'"{word}"'.encode()))
    await end(runtime, await run("failed"), Failed(TaskError("Boom", word, retryable=False, fingerprint=word)))
    await submit("cancelled")
    assert (await world.ask(tenant, "POST", f"/tasks/{tasks['cancelled']}/cancel")).status_code == 200
    await _park(world, tenant, await run("waiting"), tasks, word)


async def _have(world: World, tenant: Tenant, word: str, file: str) -> Things:
    """A key, a subscription that was told something, and a delivery."""
    desk = world.door.app.state.desk
    key = await world.ask(tenant, "POST", "/keys", json={"name": word, "scopes": ["tasks:read"]})
    asked = {"url": f"https://example.com/{word}", "description": word}
    subscription = (await world.ask(tenant, "POST", "/subscriptions", json=asked)).json()["id"]
    told = (await world.ask(tenant, "POST", f"/subscriptions/{subscription}/test")).json()["id"]
    arrival = Arrival(word, f"{word}-1", word, "hmac", 0)
    await receive(desk.runtime, desk.intake, arrival, {}, {"text": word}, Origin(tenant, always=True))
    (delivery,) = (await world.ask(tenant, "GET", "/deliveries")).json()["items"]
    return Things(file, subscription, told, delivery["id"], key.json()["id"])


async def _park(world: World, tenant: Tenant, parent: Claim, tasks: dict[str, TaskId], word: str) -> None:
    """A parent that waits for a child."""
    runtime = world.door.runtime
    child = runtime.clock.task_id()
    await begin_steps(runtime, parent, [Step(word, kind=StepKind.CALL, child_id=child)])
    origin = Origin(tenant, parent_id=parent.entry.id, child_id=child)
    await world.door.app.state.desk.intake.submit(TaskRequest(type="greet", payload={"text": word}), origin)
    tasks["child"] = child
    waits = decide(parent, Parked(Wait(children=(child,))), RetryPolicy(), chance=0.5)
    assert await park(runtime, WORKER, waits)
