"""Many tasks in one request: each is kept or refused by itself, in the order asked."""

from tests.api.door import Door


async def test_items_answer_in_order_and_bad_ones_keep_no_good_one_out(door: Door) -> None:
    await door.submit(idempotency_key="seen")
    tasks = [
        {"type": "greet", "payload": {"text": "first"}},
        {"type": "nope"},
        {"type": "greet", "priority": 10},
        {"type": "greet", "idempotency_key": "seen"},
        {"type": "greet", "idempotency_key": "seen", "priority": 1},
        "text",
        {"type": "greet", "payload": {"times": "x"}},
        {"type": "greet", "payload": {"text": "last"}},
    ]
    answer = await door.http.post("/tasks/batch", json={"tasks": tasks})
    items = answer.json()["items"]
    assert answer.status_code == 201
    assert [item["status_code"] for item in items] == [201, 422, 422, 200, 422, 422, 422, 201]
    assert items[0]["task"]["payload"] == {"text": "first"}
    assert items[7]["task"]["payload"] == {"text": "last"}
    pointers = [item["problem"]["errors"][0]["pointer"] for item in items if "problem" in item]
    assert pointers == ["/type", "/priority", "/idempotency_key", "", "/payload/times"]
    assert {item["problem"]["trace_id"] for item in items if "problem" in item} == {items[1]["problem"]["trace_id"]}
    assert len((await door.http.get("/tasks")).json()["items"]) == 3


async def test_a_thousand_tasks_fit_and_keep_their_order(door: Door) -> None:
    tasks = [{"type": "greet", "payload": {"times": number}} for number in range(1000)]
    items = (await door.http.post("/tasks/batch", json={"tasks": tasks})).json()["items"]
    assert [item["task"]["payload"]["times"] for item in items] == list(range(1000))
    assert [item["task"]["id"] for item in items] == sorted(item["task"]["id"] for item in items)
    claimed = await door.runtime.queue.claim("worker-1", "default", 200, 60_000)
    assert [claim.entry.id for claim in claimed] == [item["task"]["id"] for item in items[:200]]


async def test_one_key_twice_in_a_batch_is_one_task(door: Door) -> None:
    task = {"type": "greet", "idempotency_key": "k-1"}
    items = (await door.http.post("/tasks/batch", json={"tasks": [task, task]})).json()["items"]
    assert sorted(item["status_code"] for item in items) == [200, 201]
    assert items[0]["task"]["id"] == items[1]["task"]["id"]


async def test_an_empty_batch_is_a_batch(door: Door) -> None:
    answer = await door.http.post("/tasks/batch", json={"tasks": []})
    assert (answer.status_code, answer.json()) == (201, {"items": []})
