"""What the clients do when the line to Redis breaks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from redis import Redis as PlainRedis
from redis.asyncio import Redis

from orchestrator.domain.errors import Unavailable
from orchestrator.queue.connect import answering, connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import Popped
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import HOLD_MS, ONE, STEP_US, entry


class Line:
    """A TCP proxy to the server that cuts a connection at the first answer `cut` says yes to."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self.cut: Callable[[bytes], bool] = lambda _: False
        self.connections = 0
        self._listener: asyncio.Server

    async def open(self) -> str:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        return self._server._replace(netloc=f":{self._server.password}@127.0.0.1:{port}").geturl()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        sending = asyncio.create_task(self._pass_on(reader, up_writer, lambda _: False))
        await self._pass_on(up_reader, writer, self.cut_once)
        await sending

    def cut_once(self, piece: bytes) -> bool:
        if not self.cut(piece):
            return False
        self.cut = lambda _: False
        return True

    @staticmethod
    async def _pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Callable[[bytes], bool]
    ) -> None:
        try:
            while (piece := await reader.read(65536)) and not cut(piece):
                writer.write(piece)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        self._listener.close()


@asynccontextmanager
async def queue_over(line: Line) -> AsyncIterator[RedisQueue]:
    clients = connect(await line.open())
    try:
        yield RedisQueue(*clients, Keys(), STEP_US)
    finally:
        for client in clients:
            await client.aclose()
        await line.close()


async def test_a_pop_whose_answer_is_cut_off_raises_and_takes_no_second_task(redis_url: str) -> None:
    line = Line(redis_url)
    async with queue_over(line) as queue:
        await queue.open_epoch(1)
        await queue.enqueue([first := entry(), second := entry()])
        line.cut = lambda piece: first.id.encode() in piece
        with pytest.raises(Unavailable):
            await queue.pop(["default"], 1)
        assert await queue.depth("default") == 2  # nothing is lost,
        assert await queue.pop(["default"], 1) == Popped("default", second.id)  # only its turn
        assert await queue.put_back(10) == [first.id, second.id]


async def test_a_claim_whose_answer_is_cut_off_is_not_sent_again(redis_url: str) -> None:
    line = Line(redis_url)
    async with queue_over(line) as queue:
        await queue.open_epoch(1)
        await queue.enqueue([first := entry(), second := entry()])
        line.cut = lambda piece: first.id.encode() in piece
        with pytest.raises(Unavailable):
            await queue.claim(ONE, "default", 1, HOLD_MS)
        assert [claim.entry.id for claim in await queue.claim(ONE, "default", 1, HOLD_MS)] == [second.id]


async def test_a_waiting_pop_ends_when_its_connection_does(
    redis_clients: tuple[Redis, Redis], redis_admin: PlainRedis
) -> None:
    queue = RedisQueue(*redis_clients, Keys(), STEP_US)
    waiting = asyncio.create_task(queue.pop(["default"], 30))
    while not redis_admin.info("clients")["blocked_clients"]:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.005)
    redis_admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(Unavailable):
        await waiting


async def test_a_pop_may_wait_longer_than_a_command(redis_clients: tuple[Redis, Redis]) -> None:
    commands, blocking = redis_clients
    assert commands.connection_pool.connection_kwargs["socket_timeout"] == 5
    assert blocking.connection_pool.connection_kwargs["socket_timeout"] is None


async def test_a_cancelled_pop_leaves_no_answer_for_the_next_one(redis_clients: tuple[Redis, Redis]) -> None:
    queue = RedisQueue(*redis_clients, Keys(), STEP_US)
    for _ in range(5):
        waiting = asyncio.create_task(queue.pop(["default"], 5))
        await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await queue.enqueue([task := entry(queue="mails")])
    assert await queue.pop(["mails"], 1) == Popped("mails", task.id)


async def test_connections_the_server_closed_are_opened_again(
    redis_clients: tuple[Redis, Redis], redis_admin: PlainRedis
) -> None:
    queue = RedisQueue(*redis_clients, Keys(), STEP_US)
    await asyncio.gather(*(queue.ping() for _ in range(10)))
    redis_admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.sleep(0.01)  # the loop has to hear of it
    await asyncio.gather(*(queue.ping() for _ in range(10)))


async def test_a_refused_connection_is_tried_a_few_times_and_then_given_up() -> None:
    clients = connect("redis://127.0.0.1:1/0")
    queue = RedisQueue(*clients, Keys(), STEP_US)
    began = asyncio.get_running_loop().time()
    for act in (
        queue.ping(),
        queue.pop(["default"], 1),
        queue.names(),
        queue.pause("default"),
        queue.live([entry().id]),
    ):
        with pytest.raises(Unavailable):
            await act
    assert asyncio.get_running_loop().time() - began < 3


async def test_a_mistake_of_ours_is_not_taken_for_an_absence(redis_clients: tuple[Redis, Redis]) -> None:
    await redis_clients[0].set("text", "a")
    with pytest.raises(Exception, match="WRONGTYPE"), answering():
        await redis_clients[0].lpush("text", "b")
