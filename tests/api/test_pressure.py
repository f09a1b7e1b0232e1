"""When work cannot be accepted now, the answer says so, and when to try again."""

import httpx2
import pytest

from app.problems import MEDIA_TYPE
from tests.api.door import SECRET, TOKEN, configured, open_door

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


@pytest.mark.parametrize(("method", "path"), [("POST", "/tasks"), ("GET", "/tasks"), ("GET", "/dead")])
async def test_with_postgres_away_nothing_is_promised(redis_url: str, method: str, path: str) -> None:
    app = configured(NOWHERE, redis_url)
    async with app.router.lifespan_context(app):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://aurea.test", headers=headers) as http:
            answer = await http.request(method, path, json={"type": "greet"} if method == "POST" else None)
            batch = await http.post("/tasks/batch", json={"tasks": [{"type": "greet"}, {}]})
            ready, live = await http.get("/readyz"), await http.get("/livez")
    assert (answer.status_code, answer.json()["dependency"]) == (503, "postgres")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert int(answer.headers["retry-after"]) > 0
    assert (batch.status_code, batch.json()["dependency"]) == (503, "postgres")
    assert (ready.status_code, live.status_code) == (503, 200)
    assert SECRET not in answer.text


async def test_without_a_token_to_compare_nobody_is_let_in(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, aurea_api_token=None) as door:
        answer = await door.http.get("/tasks")
    assert (answer.status_code, answer.json()["variable"]) == (503, "AUREA_API_TOKEN")
