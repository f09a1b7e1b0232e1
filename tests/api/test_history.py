"""What a task's attempts did and told, and why it does not run."""

from datetime import UTC, datetime

from orchestrator.domain.events import EventKind, parse_event_id
from orchestrator.domain.outcome import Failed, Succeeded
from orchestrator.domain.task import TaskError
from orchestrator.queue.presence import WorkerCard
from tests.api.door import WORKER, Door, claim, end, say


async def test_runs_list_every_attempt_with_its_error(door: Door) -> None:
    task = await door.submit()
    await end(
        door.runtime, await claim(door.runtime), Failed(TaskError("Boom", "no", True, "f"), retry_after_seconds=0)
    )
    await door.runtime.queue.promote(10)
    await end(door.runtime, await claim(door.runtime), Succeeded(b"1"))
    page = (await door.http.get(f"/tasks/{task['id']}/runs")).json()
    assert [(run["attempt"], run["status"]) for run in page["items"]] == [(1, "failed"), (2, "succeeded")]
    assert page["items"][0]["error"]["message"] == "no"
    assert page["items"][1]["error"] is None
    assert page["next_cursor"] is None
    assert int(page["items"][0]["fence"]) < int(page["items"][1]["fence"])


async def test_logs_are_paged_by_event_id(door: Door) -> None:
    task = await door.submit()
    claimed = await claim(door.runtime)
    await say(door.runtime, claimed, EventKind.LOG, *({"text": f"line {n}", "fields": {}} for n in range(5)))
    await say(door.runtime, claimed, EventKind.PROGRESS, {"fraction": 0.5, "text": ""}, first=6)
    seen, after = [], ""
    while True:
        page = (await door.http.get(f"/tasks/{task['id']}/logs", params={"after": after, "limit": 2})).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        after = page["next_cursor"]
    assert [event["data"]["text"] for event in seen] == [f"line {n}" for n in range(5)]
    assert {event["event"] for event in seen} == {"log"}
    places = [parse_event_id(event["id"]) for event in seen]
    assert places == sorted(set(places))
    rest = (await door.http.get(f"/tasks/{task['id']}/logs", params={"after": seen[3]["id"]})).json()
    assert rest["items"] == seen[4:]


async def test_why_names_the_first_cause(door: Door) -> None:
    task = await door.submit()

    async def cause() -> str:
        return (await door.http.get(f"/tasks/{task['id']}/why")).json()["cause"]

    assert await cause() == "no_worker"
    await door.http.post("/queues/default/pause")
    assert await cause() == "paused"
    await door.http.post("/queues/default/resume")
    claimed = await claim(door.runtime)
    assert await cause() == "worker_gone"
    card = WorkerCard(WORKER, "host", 7, "0.1.0", (), 8, datetime(2026, 1, 1, tzinfo=UTC), (task["id"],))
    await door.runtime.presence.announce(card, 60_000)
    assert await cause() == "running"
    await end(door.runtime, claimed, Succeeded(b"1"))
    assert await cause() == "final"
    later = await door.submit(delay_seconds=60)
    answer = (await door.http.get(f"/tasks/{later['id']}/why")).json()
    assert (answer["cause"], answer["due_at"]) == ("not_due", later["run_at"])
    assert answer["detail"] == f"its start is due at {later['run_at'][:19]}Z"
