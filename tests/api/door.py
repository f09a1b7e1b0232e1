"""The HTTP application on real stores, and a hand that does a worker's work step by step."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import orjson
from fastapi import FastAPI

from app.main import create_app
from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import WorkerId
from orchestrator.domain.outcome import Failed, Outcome, Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.task import Claim, TaskError
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.settle import settle
from orchestrator.operations.tell import tell
from orchestrator.runtime import Runtime
from orchestrator.settings import Settings

TOKEN = "test-token-1"
SECRET = "webhook-secret"
WORKER = WorkerId("worker-1")


@dataclass(frozen=True)
class Door:
    app: FastAPI
    http: httpx2.AsyncClient
    """Sends the admin token."""
    database: asyncpg.Connection

    @property
    def runtime(self) -> Runtime:
        return self.app.state.runtime

    async def submit(self, **fields: Any) -> dict[str, Any]:
        answer = await self.http.post("/tasks", json={"type": "greet", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def stored(self) -> tuple[int, ...]:
        """How much there is in either store; equal before and after a request that changed nothing."""
        tables = ("tasks", "runs", "events", "steps", "queues", "deliveries")
        rows = [await self.database.fetchval(f"select count(*) from orchestrator_{table}") for table in tables]
        figures = await self.runtime.queue.queues()
        return (*rows, sum(queue.depth + queue.running for queue in figures))


def configured(database_url: str, redis_url: str, **changes: Any) -> FastAPI:
    """The application with the tests' token, secret and handler; whatever stands in this machine's .env."""
    given: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "aurea_api_token": TOKEN,
        "github_webhook_secret": SECRET,
        "aurea_handlers": ("tests.api.sample_handlers",),
        **changes,
    }
    return create_app(Settings(_env_file=None, **given))


@asynccontextmanager
async def open_door(database_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Door]:
    app = configured(database_url, redis_url, **changes)
    async with app.router.lifespan_context(app):
        await open_epoch(app.state.runtime)
        transport = httpx2.ASGITransport(app)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://aurea.test", headers=headers) as http:
            database = await asyncpg.connect(database_url)
            try:
                yield Door(app, http, database)
            finally:
                await database.close()


async def claim(runtime: Runtime, queue: str = "default") -> Claim:
    """Lease the first task of a queue, and have it recorded as running."""
    (claimed,) = await runtime.queue.claim(WORKER, queue, 1, 60_000)
    await runtime.ledger.start([claimed])
    return claimed


async def say(runtime: Runtime, claimed: Claim, kind: EventKind, *sayings: Any, first: int = 1) -> None:
    told = [
        Told(
            claimed.entry.id, claimed.entry.tenant, claimed.fence, number, kind, orjson.dumps(data), runtime.clock.now()
        )
        for number, data in enumerate(sayings, first)
    ]
    await tell(runtime, claimed.worker, told)


async def end(runtime: Runtime, claimed: Claim, outcome: Outcome) -> None:
    ending = decide(claimed, outcome, RetryPolicy(max_retries=2), chance=0.5, duration_us=1000)
    assert await settle(runtime, WORKER, [ending]) == [True]


async def succeed(runtime: Runtime, result: Any = "done", queue: str = "default") -> Claim:
    claimed = await claim(runtime, queue)
    await end(runtime, claimed, Succeeded(orjson.dumps(result)))
    return claimed


async def fail(runtime: Runtime, fingerprint: str = "f-1", queue: str = "default") -> Claim:
    claimed = await claim(runtime, queue)
    await end(runtime, claimed, Failed(TaskError("Boom", "it broke", retryable=False, fingerprint=fingerprint)))
    return claimed
