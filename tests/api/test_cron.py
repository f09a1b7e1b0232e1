"""`aurea cron NAME`: what runs once says what it did."""

from dataclasses import replace

from structlog.testing import capture_logs

from cron import prune
from tests.api.door import Door, succeed


async def test_prune_says_how_many_tasks_it_forgot(door: Door) -> None:
    ids = [(await door.submit())["id"] for _ in range(2)]
    for _ in ids:
        await succeed(door.runtime)
    until_tomorrow = replace(door.runtime, limits=replace(door.runtime.limits, retention_days=-1))
    with capture_logs() as lines:
        await prune.run(until_tomorrow)
    assert lines == [{"event": "pruned", "log_level": "info", "tasks": 2, "retention_days": -1}]
    assert (await door.http.get("/tasks")).json()["items"] == []
