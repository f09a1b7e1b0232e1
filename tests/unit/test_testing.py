"""What a handler author's tests lean on."""

import asyncio
import doctest
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

import orchestrator.testing
from orchestrator.sdk import Context, Retry, SyncContext, Terminal, task
from orchestrator.testing import FakeClock, FakeContext, Logged, Progress, run_task


class Resize(BaseModel):
    url: str
    width: int = 640


@task("resize", timeout_seconds=30)
async def resize(payload: Resize, ctx: Context) -> Any:
    await ctx.log("fetching", url=payload.url)
    answer = await ctx.http.get(payload.url)
    answer.raise_for_status()
    await ctx.token("a")
    await ctx.token("b")
    return {"width": payload.width, "text": answer.text, "attempt": ctx.attempt}


@task("short")
def short(payload: dict, ctx: Context) -> int:
    ctx.log("here")  # type: ignore[unused-coroutine]  # what a plain def gets does not await, whatever it calls it
    return ctx.attempt


@task("plain", isolation="process", memory_mb=100)
def plain(payload: dict, ctx: SyncContext) -> Any:
    ctx.log("here")
    ctx.progress(0.25)
    ctx.submit("resize", Resize(url="x"), key="k")
    if payload.get("broken"):
        raise Terminal("broken")
    return [ctx.step("once", lambda: 5), ctx.config.require("KEY"), ctx.http.get("http://a/").text]


def client(status: int = 200, **headers: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.MockTransport(lambda request: httpx2.Response(status, text="meow", headers=headers))
    )


def test_the_example_of_the_module_is_true():
    results = doctest.testmod(orchestrator.testing)
    assert results.attempted > 10
    assert results.failed == 0


def test_a_run_shows_what_became_of_it():
    run = run_task(resize, Resize(url="http://a/", width=3), attempt=2, http=client())
    assert run.result == {"width": 3, "text": "meow", "attempt": 2}
    assert run.error is None
    assert run.logs == [Logged("fetching", {"url": "http://a/"})]
    assert run.tokens == ["a", "b"]
    assert "meow" in repr(run)


def test_a_failure_is_judged_as_a_worker_would():
    run = run_task(resize, {"url": "http://a/"}, http=client(429, **{"Retry-After": "7"}))
    assert run.result is None
    assert run.error is not None
    assert (run.error.type, run.error.retryable, run.retry_after_seconds) == ("HTTPStatusError", True, 7)
    assert "HTTPStatusError" in repr(run)


def test_a_plain_handler_may_call_its_context_by_the_short_name():
    run = run_task(short, {}, attempt=2)
    assert (run.result, run.logs) == (2, [Logged("here", {})])


def test_a_plain_handler_runs_in_this_process_whatever_its_isolation():
    run = run_task(plain, {}, config={"KEY": "v"}, steps={"once": 9}, http=client())
    assert run.result == [9, "v", "meow"]
    assert run.progress == [Progress(0.25, "")]
    assert [(sent.type, sent.payload, sent.key) for sent in run.submitted] == [
        ("resize", {"url": "x", "width": 640}, "k")
    ]
    failed = run_task(plain, {"broken": True})
    assert failed.error is not None
    assert (failed.error.message, failed.error.retryable) == ("broken", False)


def test_a_handler_that_calls_out_needs_a_client():
    run = run_task(resize, {"url": "http://a/"})
    assert run.error is not None
    assert "give the test a client" in run.error.message


async def test_in_an_async_test_a_run_is_awaited():
    run = run_task(resize, {"url": "http://a/"}, http=client())
    with pytest.raises(RuntimeError, match="run = await run_task"):
        _ = run.result
    assert (await run).result["text"] == "meow"
    assert run.result["text"] == "meow"


async def test_a_timeout_can_be_met():
    @task("endless")
    async def endless(payload: dict) -> None:
        await asyncio.Event().wait()

    run = await run_task(endless, {}, timeout_seconds=0.01)
    assert run.error is not None
    assert run.error.type == "timeout"


async def test_a_fake_context_lets_exceptions_through_and_keeps_a_record():
    @task("picky")
    async def picky(payload: Resize, ctx: Context) -> Any:
        if ctx.attempt < 3:
            raise Retry("later")
        await ctx.log(ctx.config.require("NAME"))
        return await ctx.step("s", lambda: 1) + await ctx.step("t", lambda: 5)

    with pytest.raises(Retry, match="later"):
        await picky(Resize(url="a"), FakeContext())
    ctx = FakeContext(attempt=3, config={"NAME": "n"}, steps={"s": 10})
    assert await picky(Resize(url="a"), ctx) == 15
    assert ctx.record.logs == [Logged("n", {})]
    assert ctx.record.steps == {"s": 10, "t": 5}


async def test_time_moves_when_the_test_says_so():
    clock = FakeClock(chance=0.25)
    ctx = FakeContext(clock=clock, timeout_seconds=60)
    started, before = clock.now(), clock.monotonic()
    assert (started, clock.chance()) == (datetime(2026, 1, 1, tzinfo=UTC), 0.25)
    clock.advance(45)
    assert ctx.deadline - clock.now() == timedelta(seconds=15)
    assert clock.monotonic() - before == 45
    assert clock.stamp() < clock.stamp()
    assert clock.task_id() < clock.task_id()
    assert clock.traceparent() != clock.traceparent()
    assert ctx.effect_key("a") == FakeContext().effect_key("a")
