"""Creating, finding and steering tasks over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import httpx2
import pytest

from app import shapes
from orchestrator.domain.ids import parse_task_id
from tests.api.door import Door, claim, fail, succeed

UNKNOWN = "01997c0e-0000-7000-8000-000000000000"


async def create(door: Door, body: dict, **headers: str) -> httpx2.Response:
    return await door.http.post(
        "/tasks", json=body, headers={name.replace("_", "-"): headers[name] for name in headers}
    )


async def test_a_created_task_is_the_contract_s_and_can_be_read_back(door: Door) -> None:
    answer = await create(door, {"type": "greet", "payload": {"text": "é", "times": 2}, "tags": {"team": "docs"}})
    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    assert set(task) == set(shapes.Task.model_fields)
    assert parse_task_id(task["id"]) == task["id"]
    assert task["payload"] == {"text": "é", "times": 2}
    assert (task["status"], task["queue"], task["priority"], task["attempt"]) == ("queued", "default", 5, 0)
    assert (task["max_retries"], task["timeout_seconds"], task["tags"]) == (2, 900, {"team": "docs"})
    assert task["created_at"].endswith("Z")
    assert task["links"] == {"self": f"/tasks/{task['id']}", "stream": f"/stream/{task['id']}"}
    assert (await door.http.get(answer.headers["location"])).json() == task


async def test_every_field_of_a_request_is_kept(door: Door) -> None:
    asked = {
        "type": "greet", "payload": {"text": "x"}, "priority": 0, "queue": "images", "idempotency_key": "k-1",
        "max_retries": 0, "timeout_seconds": 1.5, "tags": {"a": "b"},
    }  # fmt: skip
    due = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    times = {"run_at": due.astimezone(timezone(timedelta(hours=1))), "expires_at": due + timedelta(days=1)}
    task = (await create(door, asked | {name: time.isoformat() for name, time in times.items()})).json()
    assert asked.items() <= task.items()
    assert task["run_at"] == due.isoformat().replace("+00:00", "Z")
    assert datetime.fromisoformat(task["expires_at"]) == times["expires_at"]
    assert task["status"] == "scheduled"


async def test_a_delay_makes_a_task_due_later(door: Door) -> None:
    task = await door.submit(delay_seconds=60)
    waits = datetime.fromisoformat(task["run_at"]) - datetime.fromisoformat(task["created_at"])
    assert (task["status"], waits.total_seconds()) == ("scheduled", 60)


async def test_one_key_is_one_task(door: Door) -> None:
    body = {"type": "greet", "payload": {"text": "a", "times": 1}, "idempotency_key": "k-1"}
    first = await create(door, body)
    again = await create(door, {**body, "payload": {"times": 1, "text": "a"}})
    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()


async def test_one_key_with_another_body_is_refused_and_names_the_task(door: Door) -> None:
    first = (await create(door, {"type": "greet", "idempotency_key": "k-1"})).json()
    other = await create(door, {"type": "greet", "priority": 1, "idempotency_key": "k-1"})
    assert other.status_code == 422
    assert other.json()["code"] == "key_conflict"
    assert other.json()["task_id"] == first["id"]


async def test_a_hundred_simultaneous_requests_with_one_key_make_one_task(door: Door) -> None:
    body = {"type": "greet", "idempotency_key": "k-1"}
    answers = await asyncio.gather(*(create(door, body) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] * 99 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize("header", ["k-1", '"k-1"', ' "k-1" '])
async def test_the_header_and_the_field_are_one_key(door: Door, header: str) -> None:
    first = await create(door, {"type": "greet", "idempotency_key": "k-1"})
    again = await create(door, {"type": "greet"}, Idempotency_Key=header)
    both = await create(door, {"type": "greet", "idempotency_key": "k-1"}, Idempotency_Key=header)
    assert [again.status_code, both.status_code] == [200, 200]
    assert again.json()["id"] == both.json()["id"] == first.json()["id"]


async def test_a_quoted_key_may_hold_quotes_and_backslashes(door: Door) -> None:
    task = (await create(door, {"type": "greet"}, Idempotency_Key=r'"a \"b\" \\c"')).json()
    assert task["idempotency_key"] == r'a "b" \c'


async def test_a_list_is_newest_first_and_paged_without_gap_or_repeat(door: Door) -> None:
    made = [(await door.submit())["id"] for _ in range(7)]
    seen, cursor = [], {}
    while True:
        page = (await door.http.get("/tasks", params={"limit": 3, **cursor})).json()
        seen += [task["id"] for task in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == made[::-1]


async def test_a_list_can_be_narrowed(door: Door) -> None:
    one = await door.submit(queue="one", tags={"team": "a:b", "kind": "x"}, idempotency_key="needle-1")
    two = await door.submit(delay_seconds=60)
    at = two["created_at"]

    async def found(**query: str) -> list[str]:
        answer = await door.http.get("/tasks", params=query)
        assert answer.status_code == 200, answer.text
        return [task["id"] for task in answer.json()["items"]]

    assert await found(status="scheduled") == [two["id"]]
    assert await found(queue="one") == [one["id"]]
    assert await found(type="greet") == [two["id"], one["id"]]
    assert await found(type="other") == []
    assert await found(tag="team:a:b") == [one["id"]]
    assert await found(tag="kind=x") == [one["id"]]
    assert await found(tag="kind=y") == []
    assert await found(q="needle") == [one["id"]]
    assert await found(created_before=at) == [one["id"]]
    assert await found(created_after=at.replace("Z", "+00:00")) == [two["id"]]
    assert await found(parent_id=one["id"]) == []


async def test_cancelling_answers_the_cancelled_task_and_again_the_same(door: Door) -> None:
    task = await door.submit()
    first = await door.http.post(f"/tasks/{task['id']}/cancel")
    again = await door.http.post(f"/tasks/{task['id']}/cancel")
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert again.json() == first.json()
    assert first.json()["finished_at"] is not None


async def test_cancelling_what_has_ended_names_its_state(door: Door) -> None:
    task = await door.submit()
    await succeed(door.runtime)
    answer = await door.http.post(f"/tasks/{task['id']}/cancel")
    assert answer.status_code == 409
    assert "succeeded" in answer.json()["detail"]


async def test_a_finished_task_is_run_again_with_its_attempts_counted_anew(door: Door) -> None:
    task = await door.submit()
    await fail(door.runtime)
    answer = await door.http.post(f"/tasks/{task['id']}/retry")
    assert (answer.status_code, answer.json()["id"]) == (200, task["id"])
    assert (answer.json()["status"], answer.json()["attempt"], answer.json()["error"]) == ("queued", 0, None)
    await succeed(door.runtime, {"n": 1})
    assert (await door.http.get(f"/tasks/{task['id']}")).json()["result"] == {"n": 1}


async def test_retrying_what_has_not_ended_names_its_state(door: Door) -> None:
    task = await door.submit()
    await claim(door.runtime)
    answer = await door.http.post(f"/tasks/{task['id']}/retry")
    assert answer.status_code == 409
    assert "running" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks/{id}"), ("POST", "/tasks/{id}/cancel"), ("POST", "/tasks/{id}/retry"), ("GET", "/stream/{id}"),
        ("GET", "/tasks/{id}/runs"), ("GET", "/tasks/{id}/logs"), ("GET", "/tasks/{id}/why"),
    ],
)  # fmt: skip
async def test_another_tenant_s_task_answers_as_an_unknown_one(door: Door, method: str, path: str) -> None:
    task = await door.submit()
    foreign = await door.http.request(method, path.format(id=task["id"]), headers={"Aurea-Tenant": "other"})
    unknown = await door.http.request(method, path.format(id=UNKNOWN))
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    blank = {"trace_id": None}
    theirs = foreign.text.replace(task["id"], UNKNOWN)
    assert httpx2.Response(200, text=theirs).json() | blank == unknown.json() | blank


async def test_each_tenant_lists_its_own_and_has_its_own_keys(door: Door) -> None:
    body = {"type": "greet", "idempotency_key": "k-1"}
    ours, theirs = await create(door, body), await create(door, body, Aurea_Tenant="team.b_2-c")
    assert (ours.status_code, theirs.status_code) == (201, 201)
    listed = (await door.http.get("/tasks", headers={"Aurea-Tenant": "team.b_2-c"})).json()["items"]
    assert [task["id"] for task in listed] == [theirs.json()["id"]]
