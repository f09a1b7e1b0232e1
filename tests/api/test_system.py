"""What the system tells of itself: queues, workers, handlers, metrics."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from app import shapes
from orchestrator.domain.ids import WorkerId
from orchestrator.queue.presence import WorkerCard
from tests.api.door import Door, claim, open_door


async def test_queues_tell_depth_age_running_and_paused(door: Door) -> None:
    for _ in range(3):
        await door.submit()
    await door.submit(queue="images")
    await claim(door.runtime)
    paused = await door.http.post("/queues/images/pause")
    assert (paused.status_code, paused.json()) == (200, {"name": "images", "paused": True})
    queues = {queue["name"]: queue for queue in (await door.http.get("/queues")).json()["items"]}
    assert set(queues["default"]) == set(shapes.Queue.model_fields)
    assert (queues["default"]["depth"], queues["default"]["running"], queues["default"]["paused"]) == (2, 1, False)
    assert (queues["images"]["depth"], queues["images"]["running"], queues["images"]["paused"]) == (1, 0, True)
    assert 0 < queues["images"]["oldest_age_seconds"] < 60
    await door.http.post("/queues/images/resume")
    queues = {queue["name"]: queue for queue in (await door.http.get("/queues")).json()["items"]}
    assert queues["images"]["paused"] is False


async def test_workers_tell_what_each_runs(door: Door) -> None:
    assert (await door.http.get("/agents/count")).json() == {"count": 0}
    task = await door.submit()
    card = WorkerCard(
        WorkerId("w-1"), "host", 7, "0.1.0", ("images",), 8, datetime(2026, 1, 1, tzinfo=UTC), (task["id"],)
    )
    await door.runtime.presence.announce(card, 60_000)
    (worker,) = (await door.http.get("/workers")).json()["items"]
    assert worker == {
        "id": "w-1", "host": "host", "pid": 7, "version": "0.1.0", "queues": ["images"], "concurrency": 8,
        "started_at": "2026-01-01T00:00:00Z", "running": [task["id"]],
    }  # fmt: skip
    assert set(worker) == set(shapes.Worker.model_fields)
    assert (await door.http.get("/agents/count")).json() == {"count": 1}


async def test_handlers_tell_schema_retry_policy_and_limits(door: Door) -> None:
    listed = {handler["type"]: handler for handler in (await door.http.get("/handlers")).json()["items"]}
    assert {"greet", "http_request", "webhook_process"} <= set(listed)
    greet = listed["greet"]
    assert set(greet) == set(shapes.Handler.model_json_schema()["properties"])
    assert (greet["description"], greet["kind"]) == ("Say it as often as asked.", "async")
    assert (greet["max_retries"], greet["retry"]["max_retries"], greet["timeout_seconds"]) == (2, 2, 900)
    assert set(greet["schema"]["properties"]) == {"text", "times"}


async def test_metrics_are_text_that_prometheus_reads(door: Door) -> None:
    await door.submit()
    answer = await door.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    requests = {tuple(sample.labels.values()): sample.value for sample in families["aurea_http_requests"].samples}
    assert requests["POST", "/tasks", "201"] == 1
    (depth,) = families["aurea_queue_depth"].samples
    assert (depth.labels, depth.value) == ({"queue": "default"}, 1)


async def test_metrics_need_the_token(door: Door) -> None:
    assert (await door.http.get("/metrics", headers={"Authorization": ""})).status_code == 401


async def test_what_is_switched_off_names_the_variable(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, enable_sse=False, enable_metrics=False) as door:
        task = await door.submit()
        stream = await door.http.get(f"/stream/{task['id']}")
        metrics = await door.http.get("/metrics")
    assert (stream.status_code, metrics.status_code) == (404, 404)
    assert "ENABLE_SSE" in stream.json()["detail"]
    assert "ENABLE_METRICS" in metrics.json()["detail"]
