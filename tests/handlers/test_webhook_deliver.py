"""webhook_deliver: what each answer of a receiver means for the delivery."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import orjson
import pytest
from pytest_httpserver import HTTPServer

from handlers import webhook_deliver as module
from handlers.webhook_deliver import DELAYS_SECONDS, webhook_deliver
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.signing import signature
from orchestrator.domain.subscription import Signed
from orchestrator.egress import open_client
from orchestrator.sdk import Retry
from orchestrator.testing import FakeContext, TaskRun, run_task
from orchestrator.testing.outside import ENDPOINT, SIGNER

EVENT = {"id": "evt_1", "type": "task.failed", "timestamp": "2026-11-20T10:00:00.000000Z", "data": {"n": 1.5, "ü": "ß"}}
URL = "https://example.com/hook?key=s3cret"

Answer = Callable[[httpx2.Request], httpx2.Response]


async def deliver(answer: Answer | httpx2.Response, attempt: int = 1, **payload: Any) -> TaskRun:
    """Deliver to a receiver that answers so."""
    respond = answer if callable(answer) else lambda _: answer
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(respond)) as http:
        return await run_task(webhook_deliver, {"url": URL, "event": EVENT, **payload}, http=http, attempt=attempt)


async def test_what_arrives_is_signed_and_says_what_happened() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(204)

    run = await deliver(answer)
    assert run.result == {"status": 204, "answer": ""}
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", URL)
    assert orjson.loads(request.content) == {name: EVENT[name] for name in ("type", "timestamp", "data")}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "evt_1"
    secret = SIGNER.secret("default", "callbacks", 1)
    proved = signature(secret, "evt_1", request.headers["webhook-timestamp"], request.content)
    assert request.headers["webhook-signature"] == proved


async def test_a_subscription_says_itself_where_it_is() -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        return httpx2.Response(200, text="thanks")

    run = await deliver(answer, subscription="0199-s", url=None)
    assert (seen, run.result) == ([ENDPOINT], {"status": 200, "answer": "thanks"})


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503])
async def test_whatever_is_not_2xx_is_tried_again(status: int) -> None:
    calls: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        calls.append(str(request.url))
        return httpx2.Response(status, text="not now", headers={"Location": "https://example.com/elsewhere"})

    run = await deliver(answer)
    assert calls == [URL]
    assert run.error is not None
    assert run.error.retryable
    assert run.error.message == f"https://example.com/hook answered {status}: not now"
    assert 5 <= (run.retry_after_seconds or 0) <= 5.5


async def test_the_waits_grow_over_three_days_and_then_it_is_a_dead_letter() -> None:
    waits = [(await deliver(httpx2.Response(500), attempt)).retry_after_seconds or 0 for attempt in range(1, 10)]
    for wait, usual in zip(waits, (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400), strict=True):
        assert usual <= wait <= usual * 1.1
    assert webhook_deliver.max_retries == len(DELAYS_SECONDS)


@pytest.mark.parametrize(("asked", "least", "most"), [("120", 120, 120), ("1", 5, 5.5), ("600000", 86_400, 86_400)])
async def test_a_receiver_may_ask_for_a_longer_wait(asked: str, least: float, most: float) -> None:
    run = await deliver(httpx2.Response(429, headers={"Retry-After": asked}))
    assert least <= (run.retry_after_seconds or 0) <= most


async def test_410_is_final() -> None:
    run = await deliver(httpx2.Response(410, text="go away"))
    assert run.error is not None
    assert (run.error.type, run.error.retryable) == ("EndpointGone", False)


async def test_who_cannot_be_reached_is_tried_again() -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    run = await deliver(answer)
    assert run.error is not None
    assert run.error.retryable
    assert run.error.message == "https://example.com/hook cannot be reached: refused"
    assert 5 <= (run.retry_after_seconds or 0) <= 5.5


async def test_who_does_not_answer_in_time_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)

    async def never(_: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(never)) as http:
        run = await run_task(webhook_deliver, {"url": URL, "event": EVENT}, http=http)
    assert run.error is not None
    assert (run.error.type, run.error.retryable) == ("Retry", True)
    assert "did not answer within 0.05 s" in run.error.message


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    pieces = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pieces
        while True:
            pieces += 1
            yield b"bytes \0 and \xff more " * 50

    run = await deliver(lambda _: httpx2.Response(200, content=endless()))
    assert pieces < 20
    assert run.result["status"] == 200
    assert run.result["answer"].startswith("bytes \ufffd and \ufffd more bytes")
    assert len(run.result["answer"]) <= 500


async def test_a_private_address_is_not_called(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("fine")
    async with open_client() as http:
        run = await run_task(webhook_deliver, {"url": httpserver.url_for("/hook"), "event": EVENT}, http=http)
    assert run.error is not None
    assert (run.error.type, run.error.retryable) == ("AddressRefused", False)
    assert httpserver.log == []


class Refusing(FakeContext):
    """A context whose signature is not given."""

    def __init__(self, signature: Signed | Exception) -> None:
        super().__init__()
        self._sign = signature

    async def sign(self, subscription: str | None, event_id: str, body: bytes) -> Signed:
        if isinstance(self._sign, Exception):
            raise self._sign
        return self._sign


async def test_what_was_closed_meanwhile_is_not_told() -> None:
    payload = module.Letter.model_validate({"subscription": "s-1", "event": EVENT})
    with pytest.raises(module.EndpointClosed, match="deleted"):
        await webhook_deliver(payload, Refusing(Signed(None, {}, "the subscription was deleted")))


async def test_a_worker_that_cannot_sign_leaves_it_to_another() -> None:
    payload = module.Letter.model_validate({"subscription": "s-1", "event": EVENT})
    with pytest.raises(Retry, match="AUREA_SIGNING_SECRETS") as raised:
        await webhook_deliver(payload, Refusing(NotConfigured("AUREA_SIGNING_SECRETS", "to a text")))
    assert raised.value.after is not None
    assert raised.value.after >= 5
