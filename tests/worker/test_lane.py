"""Receivers of webhooks that never answer: other tasks go on, and so do the deliveries to others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from pytest_httpserver import HTTPServer

from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.states import State
from orchestrator.domain.subscription import DELIVERIES
from orchestrator.operations import subscription as subscribing
from orchestrator.operations.announce import Passed, announce
from orchestrator.operations.cancel import cancel
from orchestrator.operations.read import runs
from orchestrator.worker import attempts, shares
from orchestrator.worker.lane import served
from tests.worker.conftest import House
from tests.worker.life_handlers import FINISH
from tests.worker.test_callbacks import Receiver, deliveries, promoting


class Silent:
    """Takes requests, and answers none before it is told to."""

    def __init__(self) -> None:
        self.waiting = 0
        self.came = asyncio.Condition()
        self.answers = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            async with self.came:
                self.waiting += 1
                self.came.notify_all()
            await self.answers.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20), self.came:
            await self.came.wait_for(lambda: self.waiting >= count)


@pytest.fixture
async def silent(house: House) -> AsyncIterator[Silent]:
    """What a subscription of the tenant leads to."""
    receiver = Silent()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await subscribing.create(house.runtime, DEFAULT_TENANT, f"http://localhost:{port}/hook")
    yield receiver
    receiver.answers.set()
    server.close()


async def test_a_receiver_that_never_answers_keeps_no_task_waiting(
    house: House, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "DELIVERIES_AT_ONCE", 2)
    async with house.worker(concurrency=1):
        for _ in range(3):
            await house.ended(await house.submit("echo"))
        await announce(house.runtime, Passed())
        await silent.until(2)
        for _ in range(5):
            assert (await house.ended(await house.submit("echo"))).status is State.SUCCEEDED
        assert silent.waiting == 2, "the third waits until one of them is answered"
        silent.answers.set()
        for task in await deliveries(house):
            assert (await house.ended(task)).status is State.SUCCEEDED


async def test_a_receiver_that_never_answers_leaves_room_for_others(
    house: House, silent: Silent, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "SLOW_SECONDS", 0.1)
    receiver, many = Receiver(httpserver), attempts.DELIVERIES_AT_ONCE + 8
    for _ in range(many):
        await cancel(house.runtime, DEFAULT_TENANT, (await house.submit("echo")).id)
    await announce(house.runtime, Passed())
    late = await house.submit("echo", callback_url=receiver.url)
    await cancel(house.runtime, DEFAULT_TENANT, late.id)
    await announce(house.runtime, Passed())
    async with house.worker(), promoting(house):
        (other,) = [task for task in await deliveries(house) if task.tags["subscription"] == "callback"]
        assert (await house.ended(other)).status is State.SUCCEEDED
        assert receiver.events == [("task.cancelled", late.id)]
        assert silent.waiting <= attempts.DELIVERIES_AT_ONCE // 2
        assert {task.error["type"] for task in await deliveries(house) if task.error is not None} == {"crowded"}
        silent.answers.set()
        told = [await house.ended(task) for task in await deliveries(house)]
    assert {(task.status, task.attempt, task.error) for task in told} == {(State.SUCCEEDED, 1, None)}
    assert silent.waiting == len(told) - 1 == many + 1
    for task in told:
        assert len(await runs(house.runtime, DEFAULT_TENANT, task.id)) == 1


async def test_long_tasks_keep_no_delivery_waiting(house: House, silent: Silent) -> None:
    silent.answers.set()
    async with house.worker(concurrency=1, queues=("default",)):
        await house.ended(await house.submit("echo"))
        busy = await house.submit("clingy")
        await house.running(busy)
        await announce(house.runtime, Passed())
        (task,) = await deliveries(house)
        assert (await house.ended(task)).status is State.SUCCEEDED
        FINISH[busy.id].set()


@pytest.mark.parametrize(
    ("told", "serves"),
    [((), ()), (("default",), ("default", DELIVERIES)), (("slow",), ("slow",)), ((DELIVERIES,), (DELIVERIES,))],
)
def test_who_serves_the_usual_queue_delivers(told: tuple[str, ...], serves: tuple[str, ...]) -> None:
    assert served(told) == serves
