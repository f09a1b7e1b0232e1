"""What an accepted task is said to be kept on, and that it is."""

from asyncio import timeout
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis as PlainRedis

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.outbox import Durability, Holder
from orchestrator.embedded.valkey import Valkey
from orchestrator.queue.connect import connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import HOLD_MS, ONE, STEP_US, acceptance, ending, entry, hold, write

WITHOUT_WAITAOF = {"rename-command": 'WAITAOF ""'}
"""As on a server before Redis 7.2."""


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Valkey]:
    """A server of this test's own; its parameter is what is configured otherwise."""
    valkey = Valkey(tmp_path / "valkey", tmp_path / "valkey.log", "password", getattr(request, "param", {}))
    valkey.start()
    yield valkey
    valkey.stop()


@asynccontextmanager
async def queue_on(server: Valkey, user: str = "") -> AsyncIterator[RedisQueue]:
    clients = connect(server.url.replace("//:", f"//{user}:"))
    try:
        yield RedisQueue(*clients, Keys(), STEP_US)
    finally:
        for client in clients:
            await client.aclose()


@pytest.mark.parametrize(
    ("server", "durability"),
    [
        ({"appendfsync": "always"}, Durability.REDIS),
        ({"appendfsync": "everysec"}, Durability.REDIS),
        ({"appendonly": "no"}, Durability.MEMORY),
        (WITHOUT_WAITAOF, Durability.REDIS),
        (WITHOUT_WAITAOF | {"appendonly": "no"}, Durability.MEMORY),
    ],
    indirect=["server"],
    ids=str,
)
async def test_an_acceptance_says_where_it_is_kept(server: Valkey, durability: Durability) -> None:
    async with queue_on(server) as queue:
        task = entry()
        for _ in range(2):
            assert await queue.accept([acceptance(task, hold())]) == ([True], durability)
        assert await queue.accept([acceptance(entry(), hold())]) == ([Holder(task.id, b"\x01\xff")], durability)


@pytest.mark.parametrize("server", [{"hz": "1", "dynamic-hz": "no"}], indirect=True, ids=str)
async def test_a_server_with_nothing_else_to_do_says_in_good_time_that_its_disk_is_done(server: Valkey) -> None:
    """Left alone, this one would look for that once a second."""
    async with queue_on(server) as queue, timeout(10):
        for _ in range(40):
            await queue.accept([acceptance(entry())])


async def test_what_was_accepted_settled_and_recorded_survives_a_crash(server: Valkey) -> None:
    async with queue_on(server) as queue:
        await queue.open_epoch(1)
        await queue.accept([acceptance(running := entry(), hold())])
        (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
        await queue.record(ONE, [write(claim)])
        await queue.settle(ONE, [ending(claim)], (), [b"ended"])
        _, durability = await queue.accept([acceptance(waiting := entry())])  # on the disk, and all before it
        before = await queue.outbox(10)
        server.kill()
        with pytest.raises(Unavailable):
            await queue.ping()
        server.start_again()
        assert durability is Durability.REDIS
        assert await queue.outbox(10) == before
        assert [each.task_id for each in before] == [running.id, running.id, running.id, waiting.id]
        assert await queue.pending("default", 0, 9) == [waiting.id]
        assert (await queue.held(running.id)).record == b"ended"  # type: ignore[union-attr]
        answers, _ = await queue.accept([acceptance(entry(), hold())])
        assert answers == [Holder(running.id, b"\x01\xff")]


@pytest.mark.parametrize("server", [{"appendfsync": "no"}], indirect=True, ids=str)
async def test_what_is_not_on_the_disk_in_time_is_never_said_to_be_kept(server: Valkey) -> None:
    """A server that leaves the disk to its machine never confirms anything."""
    async with queue_on(server) as queue:
        task = entry()
        with pytest.raises(Unavailable):
            await queue.accept([acceptance(task)])
        async with queue_on(server) as another:
            with pytest.raises(Unavailable):  # a repeat finds it there, over a connection that wrote nothing of it
                await another.accept([acceptance(task)])
        with PlainRedis.from_url(server.url) as admin:
            admin.config_set("appendfsync", "everysec")
        assert await queue.accept([acceptance(task)]) == ([True], Durability.REDIS)
        assert await queue.outbox_depth() == 1


@pytest.mark.parametrize("refused", ["-waitaof", "-waitaof -info"])
async def test_a_server_that_may_not_be_asked_is_taken_to_keep_what_it_is_given(server: Valkey, refused: str) -> None:
    with PlainRedis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "guest", "on", ">password", "~*", "&*", "+@all", *refused.split())
    async with queue_on(server, "guest") as queue:
        assert await queue.accept([acceptance(entry())]) == ([True], Durability.REDIS)


async def test_a_full_memory_accepts_nothing_and_lets_endings_in(server: Valkey) -> None:
    async with queue_on(server) as queue:
        await queue.open_epoch(1)
        await queue.accept([acceptance(entry(), hold()), acceptance(entry())])
        claims = await queue.claim(ONE, "default", 2, HOLD_MS)
        with PlainRedis.from_url(server.url) as admin:
            admin.config_set("maxmemory", "1mb")
            for act in (
                queue.accept([acceptance(entry(), hold("another"))]),
                queue.enqueue([task := entry()], {task.id: hold("another")}),
                queue.record(ONE, [write(claims[0])]),
            ):
                with pytest.raises(Unavailable):
                    await act
            assert await queue.outbox_depth() == 2
            endings = [ending(claim) for claim in claims]
            assert await queue.settle(ONE, endings, [("tasks_total", "a", 1)], [b"one", b"two"]) == [True, True]
            await queue.applied(await queue.outbox(10))
            admin.config_set("maxmemory", "0")
        assert await queue.missing([claim.entry.id for claim in claims]) == [claim.entry.id for claim in claims]
        assert (await queue.outbox_depth(), await queue.depth("default")) == (0, 0)
