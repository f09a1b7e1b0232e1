"""When work cannot be accepted now, the answer says so, and when to try again."""

import asyncio

import httpx2
import pytest

from app.problems import MEDIA_TYPE
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.task import Task
from orchestrator.operations import read
from orchestrator.operations.keep import ANSWER_SECONDS
from orchestrator.runtime import Runtime
from tests.api.door import SECRET, TOKEN, Door, configured, open_door

NOWHERE = "postgresql://postgres:x@127.0.0.1:1/postgres"


async def test_a_full_queue_answers_429_and_others_go_on(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, max_queue_depth=2) as door:
        await door.submit()
        await door.submit()
        full = await door.http.post("/tasks", json={"type": "greet"})
        other = await door.http.post("/tasks", json={"type": "greet", "queue": "other"})
        batch = (await door.http.post("/tasks/batch", json={"tasks": [{"type": "greet"}]})).json()["items"]
        listed = (await door.http.get("/tasks")).json()["items"]
    assert (full.status_code, full.json()["code"]) == (429, "queue_full")
    assert int(full.headers["retry-after"]) > 0
    assert other.status_code == 201
    assert batch[0]["status_code"] == 429
    assert len(listed) == 3


@pytest.mark.parametrize(
    ("method", "path", "redis_too", "named"),
    [
        ("POST", "/tasks", True, "postgres and redis"),
        ("GET", "/tasks", False, "postgres"),
        ("GET", "/tasks/01997c0e-0000-7000-8000-000000000000", False, "postgres"),
        ("GET", "/dead", False, "postgres"),
    ],
)
async def test_what_cannot_be_answered_names_the_store_that_is_away(
    redis_url: str, method: str, path: str, redis_too: bool, named: str
) -> None:
    app = configured(NOWHERE, "redis://127.0.0.1:1" if redis_too else redis_url)
    async with app.router.lifespan_context(app):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://aurea.test", headers=headers) as http:
            answer = await http.request(method, path, json={"type": "greet"} if method == "POST" else None)
            ready, live = await http.get("/readyz"), await http.get("/livez")
    assert (answer.status_code, answer.json()["dependency"]) == (503, named)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert int(answer.headers["retry-after"]) > 0
    assert (ready.status_code, live.status_code) == (503 if redis_too else 200, 200)
    assert SECRET not in answer.text


async def test_a_batch_is_kept_in_redis_while_postgres_is_away_and_says_so(redis_url: str) -> None:
    app = configured(NOWHERE, redis_url)
    async with app.router.lifespan_context(app):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://aurea.test", headers=headers) as http:
            batch = await http.post("/tasks/batch", json={"tasks": [{"type": "greet"}, {}]})
            kept, refused = batch.json()["items"]
            read = await http.get(kept["task"]["links"]["self"])
    assert (batch.status_code, kept["status_code"], refused["status_code"]) == (201, 201, 422)
    assert kept["task"].pop("durability") == "memory"
    assert read.json() == kept["task"]


async def test_without_a_token_to_compare_nobody_is_let_in(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, aurea_api_token=None) as door:
        answer = await door.http.get("/tasks")
    assert (answer.status_code, answer.json()["variable"]) == (503, "AUREA_API_TOKEN")


async def test_repeats_that_are_slow_to_read_hold_up_nobody_else(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever asks again while a store is slow makes it slower for all, and they for him."""
    made = [await door.submit(idempotency_key=f"slow-{number}") for number in range(4)]
    readable, get = asyncio.Event(), read.get
    asked: asyncio.Queue[TaskId] = asyncio.Queue()

    async def slowly(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
        asked.put_nowait(task_id)
        await readable.wait()
        return await get(runtime, tenant, task_id)

    monkeypatch.setattr(read, "get", slowly)
    again = []
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            for number in range(4):  # each in a batch of its own
                body = {"type": "greet", "idempotency_key": f"slow-{number}"}
                again.append(asyncio.create_task(door.http.post("/tasks", json=body)))
                assert await asked.get() == made[number]["id"]
            assert (await door.http.post("/tasks", json={"type": "greet"})).status_code == 201
    finally:
        readable.set()
    answers = await asyncio.gather(*again)
    assert [(answer.status_code, answer.json()["id"]) for answer in answers] == [(200, task["id"]) for task in made]
