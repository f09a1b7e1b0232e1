"""The verbs against the real API: what they read and send is what it writes and takes."""

import asyncio

import orjson
import pytest
from typer.testing import Result

from tests.api.command_line import aurea
from tests.api.door import TOKEN
from tests.api.live_server import Live, serve


async def _aurea(live: Live, *args: str) -> Result:
    """Off the loop, which serves the API meanwhile."""
    return await asyncio.to_thread(aurea, f"http://127.0.0.1:{live.port}", *args, token=TOKEN)


async def test_every_verb_agrees_with_the_api(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as live:
        greet = ("submit", "greet", "--payload", '{"text": "hi"}', "--tag", "team=docs", "--key", "k-1")
        created = await _aurea(live, *greet)
        assert created.exit_code == 0, created.stderr
        task_id = created.stdout.strip()
        assert (await _aurea(live, *greet)).stdout.strip() == task_id
        listed = orjson.loads((await _aurea(live, "tasks", "--tag", "team=docs", "--json")).stdout)
        assert [task["id"] for task in listed["items"]] == [task_id]
        assert "cause\tno_worker" in (await _aurea(live, "tasks", "why", task_id)).stdout
        assert "key\tk-1" in (await _aurea(live, "tasks", "show", task_id)).stdout
        assert (await _aurea(live, "tasks", "logs", task_id)).stdout == ""
        assert "\tcancelled\t" in (await _aurea(live, "tasks", "cancel", task_id)).stdout
        followed = await _aurea(live, "tasks", "logs", task_id, "--follow")
        assert followed.exit_code == 3
        assert followed.stdout.splitlines() == ["status\tqueued", "status\tcancelled", "end\tcancelled"]
        assert "\tqueued\t" in (await _aurea(live, "tasks", "retry", task_id)).stdout


@pytest.mark.parametrize(
    ("args", "printed"),
    [
        (("queues", "pause", "default"), "default is paused; go on with: aurea queues resume default\n"),
        (("queues", "resume", "default"), "default is open\n"),
        (("dead",), ""),
        (("dead", "--group"), ""),
        (("dead", "replay", "--type", "greet", "--rate", "5"), "0 replayed\n"),
        (("dead", "replay", "--all"), "0 replayed\n"),
        (("workers",), ""),
    ],
)
async def test_verbs_on_an_empty_system(database_url: str, redis_url: str, args: tuple[str, ...], printed: str) -> None:
    async with serve(database_url, redis_url) as live:
        result = await _aurea(live, *args)
        assert (result.exit_code, result.stdout) == (0, printed), result.stderr


async def test_handlers_are_listed_with_their_limits(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as live:
        lines = (await _aurea(live, "handlers")).stdout.splitlines()
        assert "greet\t2\t900\tasync\tSay it as often as asked." in lines
