"""What the clients do when the line to Redis breaks."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread

import pytest
from redis import Redis as PlainRedis
from redis._parsers.base import BaseParser
from redis.asyncio import Connection, Redis
from redis.exceptions import ResponseError

from orchestrator.domain.errors import Unavailable
from orchestrator.embedded.valkey import Valkey
from orchestrator.queue import connect as connecting
from orchestrator.queue import redis
from orchestrator.queue.connect import answering, connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import Popped
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import HOLD_MS, ONE, STEP_US, entry
from tests.queue.line import Line


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


async def test_a_pop_may_wait_longer_than_a_command(
    redis_clients: tuple[Redis, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.05)
    commands, blocking = redis_clients
    queue = RedisQueue(commands, blocking, Keys(), STEP_US)
    assert await queue.pop(["default"], 0.2) is None
    with pytest.raises(Unavailable), answering():
        await commands.blpop([Keys().queue("default")], 0.2)


async def test_a_pop_on_a_connection_that_died_silently_ends(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connecting, redis):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    line = Line(redis_url)
    async with queue_over(line) as queue, asyncio.timeout(5):
        await queue.open_epoch(1)
        assert await queue.pop(["default"], 0.01) is None
        line.silence()
        with pytest.raises(Unavailable):
            await queue.pop(["default"], 0.1)
        with pytest.raises(Unavailable):
            await queue.ping()
        await queue.enqueue([task := entry()])
        assert await queue.pop(["default"], 0.1) == Popped("default", task.id)


async def test_a_process_that_was_stopped_reads_the_answer_that_waits_for_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "ANSWER_SECONDS", 0.1)
    clients = connect(redis_url)
    queue = RedisQueue(*clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    await queue.queues()  # the server knows the scripts
    await queue.claim(ONE, "default", 1, HOLD_MS)
    with PlainRedis.from_url(redis_url) as admin:
        waiting = asyncio.create_task(queue.pop_and_claim(ONE, ["default"], 5, HOLD_MS, 1))
        while not admin.info("clients")["blocked_clients"]:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.005)

    async def elsewhere() -> None:
        others = connect(redis_url)
        await RedisQueue(*others, Keys(), STEP_US).enqueue([task])
        for client in others:
            await client.aclose()

    task = entry()
    stranger = Thread(target=lambda: asyncio.run(elsewhere()))
    stranger.start()
    stranger.join()
    time.sleep(1.3)  # noqa: ASYNC251 - that is the stop
    popped, claims = await waiting
    assert popped == Popped("default", task.id)
    assert [claim.entry.id for claim in claims] == [task.id]
    for client in clients:
        await client.aclose()


async def test_the_network_is_asked_whether_idle_connections_live(redis_clients: tuple[Redis, Redis]) -> None:
    for client in redis_clients:
        await client.ping()
        connection = await client.connection_pool.get_connection()
        assert isinstance(connection, Connection)
        wire = connection._writer.get_extra_info("socket")
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [wire.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [15, 5, 3]
        await client.connection_pool.release(connection)


async def test_a_server_that_becomes_a_replica_ends_a_waiting_pop(own_valkey: Valkey) -> None:
    clients = connect(own_valkey.url)
    queue = RedisQueue(*clients, Keys(), STEP_US)
    with PlainRedis.from_url(own_valkey.url) as admin:
        waiting = asyncio.create_task(queue.pop(["default"], 5))
        while not admin.info("clients")["blocked_clients"]:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.005)
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await queue.pop(["default"], 1)
        connected = admin.info("stats")["total_connections_received"]
        with pytest.raises(Unavailable):
            await queue.pop(["default"], 1)
        assert admin.info("stats")["total_connections_received"] == connected + 1, "its name may lead elsewhere now"
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "READONLY You can't write against a read only replica.",
        "MOVED 3999 127.0.0.1:6381",
        "ASK 3999 127.0.0.1:6381",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "NOREPLICAS Not enough good replicas to write.",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script.",
        "MISCONF Errors writing to the AOF file",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOAUTH Authentication required.",
        "ERR max number of clients reached",
        "ERR max number of clients + cluster connections reached",
        "ERR max requests limit exceeded. Limit: 500000, Usage: 500000.",
        "ERR max daily request limit exceeded. Limit: 10000, Usage: 10001.",
        "ERR max concurrent connections exceeded",
        "ERR DB capacity quota exceeded",
        "ERR Error running script (call to f_1): READONLY You can't write against a read only replica.",
    ],
)
def test_an_answer_that_means_not_now_is_an_absence(answer: str) -> None:
    with pytest.raises(Unavailable), answering():
        raise BaseParser.parse_error(answer)


@pytest.mark.parametrize("answer", ["ERR max request size exceeded", "NOPERM no permissions", "ERR unknown command"])
def test_an_answer_that_stays_the_same_is_not_an_absence(answer: str) -> None:
    with pytest.raises(ResponseError), answering():
        raise BaseParser.parse_error(answer)


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
    idle = [each._reader for each in redis_clients[0].connection_pool._available_connections]
    redis_admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    async with asyncio.timeout(20):  # the loop has to hear of it
        assert await asyncio.gather(*(reader.read() for reader in idle)) == [b""] * len(idle)
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
