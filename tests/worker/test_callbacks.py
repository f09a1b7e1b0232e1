"""Final states told to a real receiver, by a real worker: once for each ending, signed, whatever fails on the way."""

import asyncio
import hmac
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handlers import webhook_deliver as handler
from orchestrator.domain.errors import Conflict, Unavailable
from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import DEFAULT_TENANT, Tenant
from orchestrator.domain.states import State
from orchestrator.domain.subscription import DELIVER
from orchestrator.domain.task import Task
from orchestrator.operations import subscription as subscribing
from orchestrator.operations import sweep
from orchestrator.operations.announce import Passed, announce
from orchestrator.operations.cancel import cancel
from orchestrator.operations.replay import retry
from orchestrator.operations.sign import sign
from tests.worker.benches import claim
from tests.worker.conftest import House


class Receiver:
    """Somebody's endpoint: answers with the statuses it was given, then with 200."""

    def __init__(self, server: HTTPServer) -> None:
        self.answers: list[Response] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        server.expect_request("/hook", method="POST").respond_with_handler(self._answer)
        self.url = server.url_for("/hook")

    def _answer(self, request: Request) -> Response:
        self.requests.append(({name.lower(): value for name, value in request.headers}, request.get_data()))
        return self.answers.pop(0) if self.answers else Response("thanks")

    @property
    def events(self) -> list[tuple[str, str]]:
        """What came: type and task."""
        bodies = [orjson.loads(body) for _, body in self.requests]
        return [(body["type"], body["data"].get("id")) for body in bodies]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As Standard Webhooks says, and with nothing of ours."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + b64encode(hmac.new(key, signed, sha256).digest()).decode()
    return any(hmac.compare_digest(expected, each) for each in headers["webhook-signature"].split(" "))


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    return Receiver(httpserver)


async def deliveries(house: House, state: State | None = None) -> list[Task]:
    """Newest first."""
    return await house.runtime.ledger.page(DEFAULT_TENANT, TaskFilter(type=DELIVER, status=state), None, 100)


async def told(house: House) -> list[Task]:
    """Make deliveries of what is noted, and return all there are once they have ended."""
    await announce(house.runtime, Passed())
    return [await house.ended(task) for task in await deliveries(house)]


@asynccontextmanager
async def promoting(house: House) -> AsyncIterator[None]:
    """What is due again is queued at once, not within a second."""

    async def promote() -> None:
        while True:
            await sweep.promote(house.runtime)
            await asyncio.sleep(0.01)

    loop = asyncio.create_task(promote())
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def test_who_asked_is_told_what_became_of_the_task(house: House, receiver: Receiver) -> None:
    shown = await subscribing.create(house.runtime, DEFAULT_TENANT, receiver.url, states=[State.SUCCEEDED])
    secret = await subscribing.rotate_callbacks(house.runtime, DEFAULT_TENANT)
    async with house.worker():
        task = await house.submit("echo", {"word": "hi"}, callback_url=receiver.url, tags={"team": "docs"})
        ended = await house.ended(task)
        for delivery in await told(house):
            assert (delivery.status, delivery.result) == (State.SUCCEEDED, {"status": 200, "answer": "thanks"})
    assert receiver.events == [("task.succeeded", task.id)] * 2
    assert len(set(receiver.ids)) == 1
    for key in (shown.secret, secret):
        assert [verify(key, headers, body) for headers, body in receiver.requests].count(True) == 1
    data = orjson.loads(receiver.requests[0][1])["data"]
    assert ended.finished_at is not None
    assert data["result"] == {"word": "hi", "attempt": 1}
    assert (data["status"], data["tags"], data["error"]) == ("succeeded", {"team": "docs"}, None)
    assert data["finished_at"] == f"{ended.finished_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert data["links"]["self"] == f"/tasks/{task.id}"
    assert "payload" not in data
    await announce(house.runtime, Passed())
    assert len(await deliveries(house)) == 2  # they announce nothing themselves


async def test_the_scheduler_brings_it_within_its_second(house: House, receiver: Receiver) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    wait_for(receiver, lambda: loop.call_soon_threadsafe(arrived.set))
    async with house.worker(), house.scheduler():
        await house.submit("echo", callback_url=receiver.url)
        async with asyncio.timeout(20):
            await arrived.wait()


def wait_for(receiver: Receiver, heard: Callable[[], Any]) -> None:
    """Call when the next request has come."""

    class Telling(list[Response]):
        def __bool__(self) -> bool:
            heard()
            return False

    receiver.answers = Telling()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_chore_that_dies_half_way_tells_once(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Before the deliveries are kept, or after that and before the notes are removed."""

    async def dies(*_: Any) -> None:
        raise Unavailable("postgres")

    await subscribing.create(house.runtime, DEFAULT_TENANT, receiver.url)
    task = await house.submit("echo", callback_url=receiver.url)
    await cancel(house.runtime, DEFAULT_TENANT, task.id)
    with monkeypatch.context() as patched:
        if when == "before":
            patched.setattr("orchestrator.operations.announce.keep", dies)
        else:
            patched.setattr(type(house.runtime.ledger), "forget_callbacks", dies)
        with pytest.raises(Unavailable):
            await announce(house.runtime, Passed())
    assert len(await deliveries(house)) == (0 if when == "before" else 2)
    async with house.worker():
        assert len(await told(house)) == 2
    assert receiver.events == [("task.cancelled", task.id)] * 2
    assert await announce(house.runtime, Passed()) == 0


async def test_a_receiver_that_fails_is_told_until_it_answers(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "DELAYS_SECONDS", (0.001,) * 9)
    receiver.answers = [Response("later", 503), Response("", 302, {"Location": receiver.url}), Response("no", 404)]
    task = await house.submit("echo", callback_url=receiver.url)
    async with house.worker(), promoting(house):
        await house.ended(task)
        (delivery,) = await told(house)
    assert (delivery.status, delivery.attempt) == (State.SUCCEEDED, 4)
    assert receiver.events == [("task.succeeded", task.id)] * 4
    assert len(set(receiver.ids)) == 1
    assert len({body for _, body in receiver.requests}) == 1


async def test_who_never_answers_well_is_given_up_as_a_dead_letter(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "DELAYS_SECONDS", (0.001,) * 9)
    receiver.answers = [Response("broken", 500) for _ in range(10)]
    shown = await subscribing.create(house.runtime, DEFAULT_TENANT, receiver.url)
    await house.submit("echo")
    async with house.worker(), promoting(house):
        async with asyncio.timeout(20):
            while not await announce(house.runtime, Passed()):  # noqa: ASYNC110 - notes are read, nobody is told of them
                await asyncio.sleep(0.01)
        (delivery,) = await told(house)
        assert delivery.status is State.FAILED
        assert delivery.error is not None
        assert delivery.error["message"] == f"{receiver.url} answered 500: broken"
        assert len(receiver.requests) == 10
        failing = await subscribing.get(house.runtime, DEFAULT_TENANT, shown.subscription.id)
        assert (failing.failures, failing.disabled_at) == (1, None)
        # By hand it goes again, as any dead letter does, under the same id.
        await retry(house.runtime, DEFAULT_TENANT, delivery.id)
        assert (await house.ended(delivery)).status is State.SUCCEEDED
    assert len(set(receiver.ids)) == 1
    well = await subscribing.get(house.runtime, DEFAULT_TENANT, shown.subscription.id)
    assert well.failures == 0


async def test_410_ends_it_until_it_is_enabled_and_what_was_missed_is_told(house: House, receiver: Receiver) -> None:
    runtime = house.runtime
    shown = await subscribing.create(runtime, DEFAULT_TENANT, receiver.url)
    wanted, began = shown.subscription.id, runtime.clock.now()
    receiver.answers = [Response("no more", 410)]
    async with house.worker():
        first = await house.submit("echo")
        await house.ended(first)
        (gone,) = await told(house)
        assert (gone.status, gone.error and gone.error["type"]) == (State.FAILED, "EndpointGone")
        disabled = await subscribing.get(runtime, DEFAULT_TENANT, wanted)
        assert disabled.disabled_reason == "the endpoint answered 410 Gone"
        second = await house.submit("echo")
        await house.ended(second)
        assert len(await told(house)) == 1
        with pytest.raises(Conflict, match="enable it first"):
            await subscribing.tell_since(runtime, DEFAULT_TENANT, wanted, began)
        await subscribing.enable(runtime, DEFAULT_TENANT, wanted)
        assert await subscribing.tell_since(runtime, DEFAULT_TENANT, wanted, began) == (1, 2)
        assert {task.status for task in await told(house)} == {State.SUCCEEDED}
        assert await subscribing.tell_since(runtime, DEFAULT_TENANT, wanted, began) == (0, 2)
        assert len(await told(house)) == 2  # nothing that had arrived is told again
    assert sorted(receiver.events) == sorted([("task.succeeded", task.id) for task in (first, first, second)])


async def test_a_delivery_that_waits_for_a_deleted_subscription_is_cancelled(house: House, receiver: Receiver) -> None:
    shown = await subscribing.create(house.runtime, DEFAULT_TENANT, receiver.url)
    task = await house.submit("echo")
    await cancel(house.runtime, DEFAULT_TENANT, task.id)
    await announce(house.runtime, Passed())
    await subscribing.delete(house.runtime, DEFAULT_TENANT, shown.subscription.id)
    assert [task.status for task in await deliveries(house)] == [State.CANCELLED]
    event = b'{"type":"task.cancelled"}'
    signed = await sign(house.runtime, claim(DELIVER, b"{}"), shown.subscription.id, "evt_1", event)
    assert (signed.closed, signed.headers) == ("the subscription was deleted", {})
    async with house.worker():
        await house.ended(await house.submit("echo"))
    assert receiver.requests == []


async def test_a_task_that_is_run_again_tells_again_under_another_id(house: House, receiver: Receiver) -> None:
    task = await house.submit("echo", callback_url=receiver.url)
    async with house.worker():
        await house.ended(task)
        await told(house)
        await retry(house.runtime, DEFAULT_TENANT, task.id)
        async with asyncio.timeout(20):
            while not await announce(house.runtime, Passed()):  # noqa: ASYNC110 - notes are read, nobody is told of them
                await asyncio.sleep(0.01)
        await told(house)
    assert receiver.events == [("task.succeeded", task.id)] * 2
    assert len(set(receiver.ids)) == 2


async def test_another_tenant_is_told_nothing(house: House, receiver: Receiver) -> None:
    await subscribing.create(house.runtime, Tenant("other"), receiver.url)
    async with house.worker():
        await house.ended(await house.submit("echo"))
        assert await told(house) == []


async def test_after_a_rotation_both_secrets_prove_what_comes(house: House, receiver: Receiver) -> None:
    shown = await subscribing.create(house.runtime, DEFAULT_TENANT, receiver.url)
    turned = await subscribing.rotate(house.runtime, DEFAULT_TENANT, shown.subscription.id)
    assert turned.secret != shown.secret
    async with house.worker():
        await house.ended(await house.submit("echo"))
        await told(house)
    ((headers, body),) = receiver.requests
    assert verify(turned.secret, headers, body)
    assert verify(shown.secret, headers, body)
    assert not verify(turned.secret, headers, body + b" ")


async def test_no_secret_stands_in_a_row(house: House, receiver: Receiver) -> None:
    shown = await subscribing.create(house.runtime, DEFAULT_TENANT, receiver.url)
    async with house.worker():
        await house.ended(await house.submit("echo", callback_url=receiver.url))
        found = await told(house)
    rows = orjson.dumps([found, shown.subscription], default=str).decode()
    for secret in (shown.secret, shown.secret.removeprefix("whsec_"), *house.runtime.signer.masters):
        assert secret not in rows
