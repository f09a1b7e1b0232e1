"""webhook_deliver: one event on its way to one receiver, by Standard Webhooks.

A 2xx is an arrival. Anything else, redirects included, is tried again over three days; a Retry-After that asks for
longer is obeyed. 410 is final, and disables the subscription with the settlement of this task. The event's id and body
are the same in every attempt; the timestamp and with it the signatures are new.
"""

import asyncio
from typing import Annotated, Any

import httpx2
import orjson
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.sdk import Context, Retry, Terminal, retry_after_seconds, task
from orchestrator.sdk.refusals import NotConfigured

DELAYS_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before the second attempt, the third, ..."""
TIMEOUT_SECONDS = 20.0
LONGEST_WAIT_SECONDS = 86_400.0
JITTER = 0.1
ANSWER_BYTES = 8_192
EXCERPT_CHARACTERS = 500
GONE = 410


class EndpointGone(Terminal):
    """It answered 410: it wants no more events. The ledger knows this name and disables the subscription."""


class EndpointClosed(Terminal):
    """It is not to be told any more. The ledger knows this name: it says nothing about the endpoint."""


class Event(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,100}$")]
    type: str
    timestamp: str
    data: Any


class Letter(BaseModel):
    """An event, and who is told of it: a subscription, or a task's own callback URL."""

    model_config = ConfigDict(extra="forbid")

    subscription: str | None = None
    url: str | None = None
    event: Event


@task("webhook_deliver", queue="webhook_deliver", max_retries=len(DELAYS_SECONDS), timeout_seconds=60, priority=3)
async def webhook_deliver(payload: Letter, ctx: Context) -> dict[str, Any]:
    """Tell one receiver of one event; made by the system alone."""
    event = payload.event
    body = orjson.dumps({"type": event.type, "timestamp": event.timestamp, "data": event.data})
    delay = _delay(ctx)
    try:
        signed = await ctx.sign(payload.subscription, event.id, body)
    except NotConfigured as lacking:  # on this worker; another may have it
        raise Retry(str(lacking), after=delay) from None
    url = signed.url or payload.url
    if signed.closed is not None or url is None:
        raise EndpointClosed(signed.closed or "the event has no address")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer, text = await _post(ctx, url, body, signed.headers)
    except TimeoutError:
        raise Retry(f"{_plain(url)} did not answer within {TIMEOUT_SECONDS:g} s", after=delay) from None
    except httpx2.HTTPError as error:
        raise Retry(f"{_plain(url)} cannot be reached: {error or type(error).__name__}", after=delay) from None
    told = f"{_plain(url)} answered {answer.status_code}"
    await ctx.log(told, event=event.id)
    if answer.is_success:
        return {"status": answer.status_code, "answer": text}
    told += f": {text}" if text else ""
    if answer.status_code == GONE:
        raise EndpointGone(told)
    asked = retry_after_seconds(answer.headers) or 0.0
    raise Retry(told, after=max(delay, min(asked, LONGEST_WAIT_SECONDS)))


async def _post(ctx: Context, url: str, body: bytes, headers: dict[str, str]) -> tuple[httpx2.Response, str]:
    """Send the event; return the answer and an excerpt of its body, as far as that comes soon and is not long."""
    sent = {"Content-Type": "application/json", **headers}
    timeout = httpx2.Timeout(TIMEOUT_SECONDS, connect=10.0)
    async with ctx.http.stream("POST", url, content=body, headers=sent, timeout=timeout) as answer:
        read = b""
        try:
            async with asyncio.timeout(2.0):
                async for chunk in answer.aiter_bytes(1024):
                    read += chunk
                    if len(read) >= ANSWER_BYTES:
                        break
        except (TimeoutError, httpx2.HTTPError):
            pass  # the status is the answer
    text = read.decode("utf-8", "replace").replace("\0", "\ufffd")
    return answer, " ".join(text.split())[:EXCERPT_CHARACTERS]


def _delay(ctx: Context) -> float:
    """Seconds until the next attempt, spread by a tenth: many deliveries that failed together come back apart."""
    usual = DELAYS_SECONDS[min(ctx.attempt, len(DELAYS_SECONDS)) - 1]
    share = int(ctx.effect_key(f"jitter {ctx.attempt}")[-8:], 16) / 2**32
    return usual * (1 + JITTER * share)


def _plain(url: str) -> str:
    """The URL without what may be secret in it."""
    return str(httpx2.URL(url).copy_with(query=None, fragment=None, userinfo=b""))
