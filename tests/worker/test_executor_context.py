"""What a context promises: steps done once, submissions that a retry does not double, events in order."""

import asyncio
import functools
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.events import EventKind, Told
from orchestrator.sdk import Config, Context, SyncContext, task
from orchestrator.testing import Logged, Progress
from orchestrator.testing.record import Record
from orchestrator.worker import telling
from tests.worker.benches import FENCE, TASK_ID, FullJournal, error_of, lay_bench, result_of, run


class Size(BaseModel):
    width: int


class Numbered(Record):
    """Keeps events as they were appended."""

    def __init__(self) -> None:
        super().__init__(lay_bench()[0].clock, {})
        self.told: list[Told] = []

    def append(self, told: Told) -> None:
        self.told.append(told)


async def test_a_finished_step_answers_in_the_next_attempt():
    calls: list[str] = []

    async def fetch(url: str, *, name: str) -> tuple[str, str]:
        calls.append(url)
        return (url, name)

    @task("fetching")
    async def fetching(payload: dict, ctx: Context) -> Any:
        image = await ctx.step("fetch", fetch, "http://a", name="fn")
        if ctx.attempt == 1:
            raise ValueError("after the step")
        return image

    bench, record = lay_bench()
    await error_of(fetching, bench=bench)
    assert record.steps == {"fetch": ["http://a", "fn"]}
    assert await result_of(fetching, bench=bench, attempt=2) == b'["http://a","fn"]'
    assert calls == ["http://a"]


async def test_a_step_answers_the_same_the_first_time_and_later():
    @task("sized")
    async def sized(payload: dict, ctx: Context) -> Any:
        return await ctx.step("size", lambda: Size(width=2 + ctx.attempt))

    bench, _ = lay_bench()
    assert await result_of(sized, bench=bench) == b'{"width":3}'
    assert await result_of(sized, bench=bench, attempt=2) == b'{"width":3}'


async def test_what_a_step_fetched_may_be_bytes_and_is_bytes_in_the_next_attempt_too():
    @task("image")
    async def image(payload: dict, ctx: Context) -> str:
        return (await ctx.step("fetch", lambda: b"\0\xff" * ctx.attempt)).hex()

    bench, record = lay_bench()
    assert await result_of(image, bench=bench) == b'"00ff"'
    assert await result_of(image, bench=bench, attempt=2) == b'"00ff"'
    assert record.steps == {"fetch": b"\0\xff"}


@pytest.mark.parametrize(
    "fetched", [{"aurea:base64": "no!"}, {"aurea:base64": "AA=="}, {"aurea:json": 1}, {"aurea:x": 1}]
)
async def test_what_a_step_fetched_is_never_taken_for_bytes(fetched: dict[str, Any]):
    @task("fetch")
    async def fetch(payload: dict, ctx: Context) -> Any:
        return await ctx.step("fetch", lambda: fetched)

    bench, record = lay_bench()
    for attempt in (1, 2):
        assert orjson.loads(await result_of(fetch, bench=bench, attempt=attempt)) == fetched
    assert record.steps == {"fetch": fetched}


@pytest.mark.parametrize("kind", ["async", "lambda", "partial", "plain"])
async def test_a_step_takes_async_and_plain_functions(kind: str):
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    functions = {
        "async": (double, 4),
        "lambda": (lambda: double(4),),
        "partial": (functools.partial(double, 4),),
        "plain": (lambda number: 2 * number, 4),
    }

    @task("doubling")
    async def doubling(payload: dict, ctx: Context) -> int:
        return await ctx.step("double", *functions[kind])

    assert await result_of(doubling) == b"8"


async def test_a_plain_handler_has_the_same_steps():
    calls = []

    @task("plain")
    def plain(payload: dict, ctx: SyncContext) -> Any:
        answer = ctx.step("s", lambda number: calls.append(number) or (number,), 5)
        return [answer, ctx.submit("other", {"a": 1}), ctx.effect_key("e") == ctx.effect_key("e")]

    bench, record = lay_bench()
    for attempt in (1, 2):
        assert orjson.loads(await result_of(plain, bench=bench, attempt=attempt))[0] == [5]
    assert calls == [5]
    assert record.submitted[0].payload == {"a": 1}

    @task("mixed")
    def mixed(payload: dict, ctx: SyncContext) -> Any:
        return ctx.step("s", asyncio.sleep, 0)

    assert "needs a plain function" in (await error_of(mixed)).message


async def test_a_step_that_raises_is_not_kept():
    @task("stumbling")
    async def stumbling(payload: dict, ctx: Context) -> None:
        await ctx.step("divide", lambda: 1 / 0)

    bench, record = lay_bench()
    assert (await error_of(stumbling, bench=bench)).type == "ZeroDivisionError"
    assert record.steps == {}


async def test_a_steps_name_is_used_by_one_at_a_time():
    @task("twins")
    async def twins(payload: dict, ctx: Context) -> None:
        await asyncio.gather(ctx.step("same", asyncio.sleep, 0), ctx.step("same", asyncio.sleep, 0))

    error = await error_of(twins)
    assert (error.type, error.message) == (
        "RuntimeError", "the step 'same' is still running: give each step its own name",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b", 5])
async def test_a_step_needs_a_name_that_can_be_kept(name: Any):
    @task("unnamed")
    async def unnamed(payload: dict, ctx: Context) -> None:
        await ctx.step(name, list)

    assert (await error_of(unnamed)).type == "ValueError"


async def test_a_steps_result_has_to_be_json_within_the_limit():
    @task("heavy")
    async def heavy(payload: dict, ctx: Context) -> None:
        await ctx.step("weigh", lambda: payload.get("n", 0) * "x" if "n" in payload else {1})

    error = await error_of(heavy)
    assert (error.type, error.retryable) == ("Unstorable", False)
    assert "the result of the step 'weigh' is of type set" in error.message
    assert (await error_of(heavy, b'{"n": 2000}')).type == "ResultTooLarge"


@pytest.mark.parametrize("swallows", [False, True])
async def test_a_stale_fence_ends_the_attempt_without_an_outcome(swallows: bool):
    @task("overtaken")
    async def overtaken(payload: dict, ctx: Context) -> str:
        try:
            await ctx.step("effect", lambda: 1)
        except LeaseLost:
            assert ctx.cancelled
            if not swallows:
                raise
        return "it goes on"

    journal = FullJournal(lay_bench()[0].clock)
    journal.stale = True
    with pytest.raises(LeaseLost):
        await run(overtaken, bench=lay_bench(journal)[0])
    assert journal.steps == {}


async def test_a_retry_submits_nothing_twice_and_one_attempt_can_submit_two_alike():
    @task("parent")
    async def parent(payload: dict, ctx: Context) -> None:
        await ctx.submit("child", {"b": 1, "a": 2} if ctx.attempt == 1 else {"a": 2, "b": 1})
        await ctx.submit("child", Size(width=1), priority=2)
        await ctx.submit("child", {"a": 2, "b": 1})
        await ctx.submit("child", {"a": 2}, key="mine")

    bench, record = lay_bench()
    await result_of(parent, bench=bench)
    keys = [submission.key for submission in record.submitted]
    assert len(set(keys)) == 4
    assert keys[3] == "mine"
    assert record.submitted[1].payload == {"width": 1}
    await result_of(parent, bench=bench, attempt=2)
    assert [submission.key for submission in record.submitted[4:]] == keys


async def test_an_effect_key_is_stable_short_and_of_its_task_and_name():
    @task("effects")
    async def effects(payload: dict, ctx: Context) -> list[str]:
        return [ctx.effect_key("pay"), ctx.effect_key("mail")]

    first, again = await result_of(effects), await result_of(effects, attempt=5)
    assert first == again
    pay, mail = orjson.loads(first)
    assert pay == "aurea-a64cacc48efd83371d6240fbc31d78cb"
    assert pay != mail


async def test_configuration_is_read_by_name_and_what_is_missing_is_named():
    @task("configured")
    async def configured(payload: dict, ctx: Context) -> Any:
        return [ctx.config.get("A"), ctx.config.get("EMPTY"), ctx.config.require("A"), ctx.config.require("EMPTY")]

    bench, _ = lay_bench(config=Config({"A": "1", "EMPTY": ""}))
    error = await error_of(configured, bench=bench)
    assert (error.type, error.retryable) == ("Terminal", False)
    assert "set EMPTY" in error.message
    assert "'1'" not in repr(bench.config)


async def test_what_is_told_keeps_its_order_and_tokens_travel_together():
    @task("telling")
    async def tell(payload: dict, ctx: Context) -> None:
        await ctx.log("first", path=Path("a"), text="a field may be called text")
        await ctx.token("Hel")
        await ctx.token("lo")
        await ctx.progress(1.5, "half")
        await ctx.token("!")

    journal = Numbered()
    await result_of(tell, bench=lay_bench(journal)[0])
    assert [(told.number, told.kind, orjson.loads(told.data)) for told in journal.told] == [
        (1, EventKind.LOG, {"text": "first", "fields": {"path": "a", "text": "a field may be called text"}}),
        (2, EventKind.TOKEN, {"text": "Hello"}),
        (3, EventKind.PROGRESS, {"fraction": 1.0, "text": "half"}),
        (4, EventKind.TOKEN, {"text": "!"}),
    ]
    assert {(told.task_id, told.fence) for told in journal.told} == {(TASK_ID, FENCE)}


async def test_tokens_do_not_wait_for_the_next_event():
    told = asyncio.Event()

    class Heard(Numbered):
        def append(self, event: Told) -> None:
            super().append(event)
            told.set()

    @task("trickle")
    async def trickle(payload: dict, ctx: Context) -> None:
        await ctx.token("a")
        await told.wait()

    journal = Heard()
    await result_of(trickle, bench=lay_bench(journal, token_join_seconds=0.001)[0])
    assert len(journal.told) == 1


async def test_an_attempt_tells_a_bounded_number_of_events(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(telling, "LAST_TOLD", 4)

    @task("chatterbox")
    async def chatterbox(payload: dict, ctx: Context) -> None:
        for number in range(9):
            await ctx.log(str(number))

    journal = Numbered()
    await result_of(chatterbox, bench=lay_bench(journal)[0])
    assert [told.number for told in journal.told] == [1, 2, 3, 4]
    assert "dropped" in orjson.loads(journal.told[3].data)["text"]


async def test_no_log_line_costs_an_attempt():
    class Evil:
        def __repr__(self) -> str:
            raise RuntimeError

    @task("careless")
    async def careless(payload: dict, ctx: Context) -> None:
        await ctx.log("a\0b\ud800" + "x" * 20_000, huge=2**70, bad="\ud800", nul="\0", keys={1: {2}}, evil=Evil())
        await ctx.log("big", blob="x" * 20_000)
        await ctx.progress(float("nan"))
        await ctx.token("y" * 20_000 + "\0")

    bench, record = lay_bench()
    await result_of(careless, bench=bench)
    first, second = record.logs
    assert first.text.startswith("a\ufffdb?xxx")
    assert first.text.endswith("… (3620 more characters)")
    assert first.fields["huge"] == str(2**70)
    assert (first.fields["bad"], first.fields["nul"]) == ("?", "\ufffd")
    assert first.fields["evil"] == "a Evil"
    assert second == Logged("big", {"dropped": "20011 bytes of fields"})
    assert record.progress == [Progress(0.0, "")]
    assert [len(token) for token in record.tokens] == [16_384, 3617]
