"""Everybody is told how his task ended, whichever process dies between the ending and the telling."""

from pathlib import Path

import orjson
from pytest_httpserver import HTTPServer

from tests.conftest import Servers
from tests.faults.system import running_system, until

TASKS = 12


async def test_who_dies_between_an_ending_and_its_telling_leaves_nobody_untold(
    own_servers: Servers, tmp_path: Path, httpserver: HTTPServer
) -> None:
    """A worker dies behind its commit, a scheduler before it removes the notes; half the endings come by the outbox."""
    httpserver.expect_request("/hook").respond_with_data("thanks")
    settings = {"AUREA_SIGNING_SECRETS": "a master secret of the tests: new", "AUREA_ALLOW_PRIVATE_HOSTS": "localhost"}
    async with running_system(own_servers.postgres, own_servers.valkey, tmp_path, **settings) as system:
        system.start("api")
        system.start("scheduler1", AUREA_CRASH_AT="announced")
        await system.ready()
        common = {"type": "nap", "callback_url": httpserver.url_for("/hook")}
        ids = await system.submit([{**common, "queue": ("default", "edge")[n % 2]} for n in range(TASKS)])
        system.start("worker1", "--queue", "default", AUREA_CRASH_AT="recorded")

        async def both_died() -> bool:
            return set(system.fallen()) == {"worker1", "scheduler1"}

        await until(both_died, 30)
        noted = await system.rows("select task_id::text from orchestrator_callbacks")
        kept = await system.rows("select id from orchestrator_tasks where type = 'webhook_deliver'")
        assert len(noted) >= len(kept) >= 1  # deliveries, and their notes still
        # Not before: behind the records of an isolated worker that nobody relays, the first would write to the outbox.
        system.start("worker2", "--isolated", "--queue", "edge")
        system.start("worker3", "--queue", "default")
        system.start("scheduler2")

        async def all_told() -> bool:
            rows = await system.rows("select status::text from orchestrator_tasks where type = 'webhook_deliver'")
            notes = await system.rows("select 1 from orchestrator_callbacks")
            return not notes and [row["status"] for row in rows].count("succeeded") == TASKS

        await until(all_told, 40)
        await system.drained(seconds=20)
        assert len(await system.rows("select 1 from orchestrator_tasks where type = 'webhook_deliver'")) == TASKS
    # The worker may die between an answer and its record: that event comes again, under its id.
    events = {
        (orjson.loads(request.get_data())["data"]["id"], request.headers["webhook-id"]) for request, _ in httpserver.log
    }
    assert sorted(task_id for task_id, _ in events) == sorted(ids)
