"""One attempt from claim to outcome: payload, call, result, timeout, cancellation."""

import asyncio
import contextvars
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.discovery import Handlers
from orchestrator.domain.errors import AttemptEnded
from orchestrator.domain.outcome import Unfit
from orchestrator.sdk import Context, SyncContext, task
from orchestrator.worker.executor import Executor
from tests.worker.benches import FullJournal, claim, error_of, lay_bench, result_of, run


class Resize(BaseModel):
    width: int = 640
    at: datetime | None = None


@dataclass
class Size:
    width: int


@task("echo")
async def echo(payload: Resize, ctx: Context) -> Any:
    return payload


@task("blocking_echo")
def blocking_echo(payload: Resize, ctx: SyncContext) -> Any:
    return Size(payload.width)


async def test_a_payload_reaches_the_handler_as_its_model_and_the_result_is_json():
    assert await result_of(echo, b'{"width": 3, "at": "2026-01-02T03:04:05Z"}') == (
        b'{"width":3,"at":"2026-01-02T03:04:05Z"}'
    )
    assert await result_of(blocking_echo, b'{"width": 4}') == b'{"width":4}'


async def test_a_context_is_optional():
    @task("bare")
    async def bare(payload: dict) -> int:
        return len(payload)

    @task("bare_thread")
    def bare_thread(payload: list[int]) -> int:
        return sum(payload)

    assert await result_of(bare, b'{"a": 1}') == b"1"
    assert await result_of(bare_thread, b"[1, 2]") == b"3"


async def test_a_payload_that_does_not_fit_fails_for_good_and_names_the_field():
    error = await error_of(echo, b'{"width": "wide"}')
    assert (error.type, error.retryable) == ("InvalidInput", False)
    assert "/payload/width" in error.message


async def test_an_unknown_type_costs_no_attempt_because_another_worker_may_know_it():
    outcome = await Executor(Handlers([echo]), lay_bench()[0]).run(claim("later"))
    assert isinstance(outcome, Unfit)
    assert (outcome.error.type, outcome.error.retryable, outcome.retry_after_seconds) == ("unknown_type", True, 30.0)
    assert "'later'" in outcome.error.message
    assert "echo" in outcome.error.message


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ({1, 2}, "Unstorable", "set"),
        ({"deep": [object()]}, "Unstorable", "object"),
        ({1: "a"}, "Unstorable", "Dict key must be str"),
        ([1.0, float("nan")], "Unstorable", "not finite"),
        ({"size": Size(float("inf"))}, "Unstorable", "not finite"),
        ({"text": "a\0b"}, "Unstorable", "U+0000"),
        ("\\\0", "Unstorable", "U+0000"),
        ("\ud800", "Unstorable", "str"),
        (2**70, "Unstorable", "64-bit"),
        ("x" * 1000, "ResultTooLarge", "1002 bytes of JSON; at most 1000"),
    ],
)
async def test_a_result_that_cannot_be_kept_fails_clearly(value: Any, kind: str, words: str):
    @task("odd")
    async def odd(payload: dict) -> Any:
        return value

    error = await error_of(odd)
    assert (error.type, error.retryable) == (kind, False)
    assert words in error.message


@pytest.mark.parametrize("value", [None, [None, "null"], "\\u0000", {"a": (1, 2)}, "x" * 998])
async def test_a_result_that_json_can_hold_is_kept(value: Any):
    @task("fine")
    async def fine(payload: dict) -> Any:
        return value

    await result_of(fine)


async def test_a_handler_that_waits_too_long_is_ended_and_retried():
    bench, record = lay_bench()
    ended = []

    @task("slow")
    async def slow(payload: dict, ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(ctx.cancelled)
            await ctx.log("cleaning up")

    error = await error_of(slow, bench=bench, timeout_seconds=0.02)
    assert (error.type, error.retryable, error.message) == ("timeout", True, "it did not end within 0.02 s")
    assert ended == [False]
    assert [logged.text for logged in record.logs] == ["cleaning up"]


async def test_a_handler_that_still_finishes_on_its_timeout_keeps_its_result():
    @task("last_moment")
    async def last_moment(payload: dict) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done"
        return "never"

    assert await result_of(last_moment, timeout_seconds=0.02) == b'"done"'


async def test_an_error_that_the_timeout_provoked_is_a_timeout():
    @task("clumsy")
    async def clumsy(payload: dict) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("confused") from None

    assert (await error_of(clumsy, timeout_seconds=0.02)).type == "timeout"


async def test_a_timeout_of_the_handlers_own_is_an_error_of_its_own():
    @task("impatient")
    async def impatient(payload: dict) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    assert (await error_of(impatient)).type == "TimeoutError"


async def test_a_timed_out_thread_is_left_behind_and_its_context_writes_nothing():
    bench, record = lay_bench()
    release, left = threading.Event(), asyncio.Event()
    loop, seen = asyncio.get_running_loop(), []

    @task("stuck")
    def stuck(payload: dict, ctx: SyncContext) -> None:
        ctx.log("before")
        release.wait()
        seen.append(ctx.cancelled)
        for use in (
            lambda: ctx.log("after"),
            lambda: ctx.step("after", list),
            lambda: ctx.submit("echo", {}),
            lambda: ctx.http,
        ):
            try:
                use()
            except AttemptEnded as error:
                seen.append(str(error))
        loop.call_soon_threadsafe(left.set)

    assert (await error_of(stuck, bench=bench, timeout_seconds=0.05)).type == "timeout"
    release.set()
    async with asyncio.timeout(5):
        await left.wait()
    assert seen[0] is True
    assert len(seen) == 5
    assert "has ended" in seen[1]
    assert [logged.text for logged in record.logs] == ["before"]
    assert (record.steps, record.submitted) == ({}, [])


async def test_a_cancelled_attempt_ends_its_handler_and_has_no_outcome():
    started, ended = asyncio.Event(), []

    @task("endless")
    async def endless(payload: dict, ctx: Context) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise ValueError("an error on the way out does not count") from None

    attempt = asyncio.create_task(run(endless))
    await started.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert ended == ["cancelled"]


async def test_context_variables_flow_into_threads():
    color = contextvars.ContextVar("color", default="none")

    @task("colored")
    def colored(payload: dict) -> str:
        return color.get()

    color.set("green")
    assert await result_of(colored) == b'"green"'


async def test_the_deadline_is_the_start_and_the_timeout():
    @task("deadline")
    async def deadline(payload: dict, ctx: Context) -> float:
        return (ctx.deadline - datetime.now(UTC)).total_seconds()

    assert 29 < float(await result_of(deadline)) <= 30


async def test_telling_waits_while_the_journal_is_full():
    journal = FullJournal(lay_bench()[0].clock)
    journal.has_room.clear()
    bench, _ = lay_bench(journal)
    order = []

    @task("chatty")
    async def chatty(payload: dict, ctx: Context) -> None:
        await ctx.log("one")
        order.append("room")

    attempt = asyncio.create_task(run(chatty, bench=bench))
    await asyncio.sleep(0)
    assert [logged.text for logged in journal.logs] == ["one"]
    assert order == []
    journal.has_room.set()
    await attempt
    assert order == ["room"]
