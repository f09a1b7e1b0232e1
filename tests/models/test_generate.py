"""A model call with its money, on a real Postgres: who is asked, what is told, what is paid, what it ends with."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from orchestrator.domain.errors import (
    BudgetExceeded,
    InvalidInput,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
    NotConfigured,
    PriceUnknown,
)
from orchestrator.domain.money import NANO
from orchestrator.domain.task import Claim
from orchestrator.ledger.pool import open_pool
from orchestrator.models.models import open_models
from orchestrator.operations.generate import generate
from orchestrator.operations.purse import Purse
from orchestrator.runtime import Runtime
from orchestrator.sdk import ModelReply, ModelRequest
from orchestrator.settings import Settings
from orchestrator.wiring import open_runtime
from orchestrator.worker.encoding import encode_json
from tests.conftest import Servers
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.gemini import FakeGemini
from tests.fakes.openai import FakeOpenAI
from tests.fakes.replies import Call, Fails, Says
from tests.models.conftest import READ, ask
from tests.purses import opened
from tests.store.samples import claim_of, new_task

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@dataclass
class Desk:
    """A running attempt, and what its listeners see: None is where the text so far was taken back."""

    runtime: Runtime
    purse: Purse
    claim: Claim
    pool: asyncpg.Pool
    told: list[str | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: ModelRequest, step: str = "draft") -> ModelReply:
        async def tell(text: str | None) -> None:
            self.told.append(text)
            self.begun.set()

        async def note(text: str) -> None:
            self.notes.append(text)

        return await generate(self.runtime, self.purse, self.claim, step, request, tell, note)

    async def calls(self) -> list[tuple[Any, ...]]:
        """What was paid for: model, input and output tokens, nano-dollars, whether it was whole."""
        mine = f"where task_id = '{self.claim.entry.id}'"
        assert not await self.pool.fetchval(f"select count(*) from orchestrator_reservations {mine}")
        columns = "provider, model, input_tokens, output_tokens, cost_nano, ok"
        found = await self.pool.fetch(f"select {columns} from orchestrator_usage {mine} order by at")
        return [tuple(row) for row in found]

    @property
    def seen(self) -> str:
        """The text that a listener is left with."""
        behind = self.told[len(self.told) - self.told[::-1].index(None) :] if None in self.told else self.told
        return "".join(piece for piece in behind if piece)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _runtime(servers: Servers, databases: asyncpg.Connection) -> AsyncIterator[Runtime]:
    await databases.execute("create database models template migrated")
    database_url = servers.postgres.url.replace("/postgres?", "/models?")
    settings = Settings(_env_file=None, database_url=database_url, redis_url=servers.valkey.url)
    async with open_runtime(settings, "worker") as runtime:
        yield runtime
    await databases.execute("drop database models with (force)")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _pool(servers: Servers, _runtime: Runtime) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(servers.postgres.url.replace("/postgres?", "/models?")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def desk(
    _runtime: Runtime, _pool: asyncpg.Pool, anthropic: FakeAnthropic, openai: FakeOpenAI, gemini: FakeGemini
) -> AsyncIterator[Desk]:
    """One database for all, a task and models of its own for each test."""
    settings = Settings(
        _env_file=None,
        anthropic_api_key=anthropic.key,
        anthropic_base_url=anthropic.url,
        openai_api_key=openai.key,
        openai_base_url=openai.base_url,
        openai_model="gpt-6-luna",
        gemini_api_key=gemini.key,
        gemini_base_url=gemini.url,
    )
    models = open_models(settings.model_accesses, settings.aurea_model_chain, None, _runtime.clock)
    task = new_task()
    await _runtime.ledger.insert([task])
    claim = claim_of(task, 5)
    await _runtime.ledger.start([claim])
    async with opened(_runtime) as purse:
        yield Desk(replace(_runtime, models=models), purse, claim, _pool)
    await models.close()


async def test_an_answer_is_told_and_paid_for(desk: Desk, anthropic: FakeAnthropic):
    anthropic.will(
        Says("Hello, world.", input_tokens=1000, output_tokens=100, cached_tokens=200, cache_write_tokens=300)
    )
    reply = await desk.ask(ask())
    assert (reply.text, reply.provider, reply.model, reply.stop) == (
        "Hello, world.", "anthropic", "claude-sonnet-5-5", "end",
    )  # fmt: skip
    assert desk.seen == "Hello, world."
    cost = 500 * 2000 + 200 * 100 + 300 * 2500 + 100 * 10_000  # nano-dollars a token
    assert await desk.calls() == [("anthropic", "claude-sonnet-5-5", 1000, 100, cost, True)]
    assert reply.cost_usd == cost / NANO


async def test_a_call_without_a_stream_tells_nothing(desk: Desk):
    assert (await desk.ask(ask(stream=False))).text == "All is well."
    assert desk.told == []


async def test_a_chain_goes_on_to_who_works_and_the_broken_text_is_taken_back(
    desk: Desk, anthropic: FakeAnthropic, openai: FakeOpenAI, gemini: FakeGemini
):
    anthropic.will(Says("Once upon a time", cut_after=1, input_tokens=1000))
    openai.will(Fails(500))
    gemini.will(Says("At last.", input_tokens=100, output_tokens=10))
    reply = await desk.ask(ask())
    assert (reply.text, reply.provider) == ("At last.", "gemini")
    assert desk.told.count(None) == 1
    assert desk.seen == "At last."
    broken, whole = await desk.calls()
    assert broken == ("anthropic", "claude-sonnet-5-5", 1000, 8, 1000 * 2000 + 8 * 10_000, False)  # eight bytes came
    assert whole[:2] == ("gemini", "gemini-3.8-flash")
    assert reply.cost_usd == (broken[4] + whole[4]) / NANO


@pytest.mark.parametrize(
    ("fails", "reason", "says"),
    [
        (Fails(401), "key", "ANTHROPIC_API_KEY"),
        (Fails(403, "no access"), "permission", "no access"),
        (Fails(404, "model: x"), "model", "ANTHROPIC_MODEL"),
        (Fails(400, "odd"), "request", "odd"),
    ],
)
async def test_who_is_asked_by_name_and_cannot_ends_the_task_and_a_chain_goes_on(
    desk: Desk, anthropic: FakeAnthropic, fails: Fails, reason: str, says: str
):
    anthropic.otherwise = fails
    with pytest.raises(ModelRefused, match=says) as refused:
        await desk.ask(ask(provider="anthropic"))
    assert refused.value.reason == reason
    assert (await desk.ask(ask())).provider == "openai"
    assert len(await desk.calls()) == 1


async def test_the_whole_chain_failing_carries_the_smallest_wait(
    desk: Desk, anthropic: FakeAnthropic, openai: FakeOpenAI, gemini: FakeGemini
):
    anthropic.otherwise, openai.otherwise, gemini.otherwise = (Fails(429, retry_after=n) for n in (70, 20, 9))
    with pytest.raises(ModelUnavailable) as failed:
        await desk.ask(ask())
    assert failed.value.retry_after_seconds == 9
    assert "gemini:gemini-3.8-flash: 429" in str(failed.value)
    assert await desk.calls() == []


async def test_who_said_when_to_come_back_is_not_asked_before(desk: Desk, anthropic: FakeAnthropic):
    anthropic.will(Fails(429, retry_after=60))
    for _ in range(2):
        with pytest.raises(ModelUnavailable) as failed:
            await desk.ask(ask(provider="anthropic"))
        assert 55 < (failed.value.retry_after_seconds or 0) <= 60
    assert len(anthropic.asked) == 1
    assert (await desk.ask(ask())).provider == "openai"
    assert len(anthropic.asked) == 1


async def test_one_who_will_never_do_and_one_who_may_is_worth_a_retry(
    desk: Desk, anthropic: FakeAnthropic, openai: FakeOpenAI, gemini: FakeGemini
):
    anthropic.otherwise, openai.otherwise, gemini.otherwise = Fails(401), Fails(500), Fails(404)
    with pytest.raises(ModelUnavailable) as failed:
        await desk.ask(ask())
    assert failed.value.retry_after_seconds is None
    openai.otherwise = Fails(403)
    with pytest.raises(ModelRefused, match="ANTHROPIC_API_KEY"):
        await desk.ask(ask())


async def test_a_refusal_of_the_content_ends_it_and_nobody_else_is_asked(
    desk: Desk, anthropic: FakeAnthropic, openai: FakeOpenAI
):
    anthropic.will(Says("I would", refusal="It is a weapon."))
    with pytest.raises(ModelRefused, match="It is a weapon") as refused:
        await desk.ask(ask())
    assert refused.value.reason == "content"
    assert openai.asked == []
    assert desk.told[-1] is None
    assert [call[-1] for call in await desk.calls()] == [True]  # it was paid for


async def test_a_conversation_that_is_too_long_ends_it(desk: Desk, anthropic: FakeAnthropic, openai: FakeOpenAI):
    anthropic.will(Fails(400, "prompt is too long: 210000 tokens > 200000 maximum"))
    with pytest.raises(ModelRefused, match="the conversation is too long for anthropic:claude-sonnet-5-5") as refused:
        await desk.ask(ask())
    assert refused.value.reason == "context"
    assert openai.asked == []


async def test_json_is_parsed_and_mended_once(desk: Desk, anthropic: FakeAnthropic):
    anthropic.will(Says('{"n": "three"}'), Says('```json\n{"n": 3}\n```'))
    reply = await desk.ask(ask(schema=SCHEMA))
    assert reply.data == {"n": 3}
    assert desk.seen == '```json\n{"n": 3}\n```'
    assert "/n: has to be integer" in str(anthropic.bodies[1]["messages"][-1])
    assert len(await desk.calls()) == 2
    anthropic.otherwise = Says('{"n": ')
    with pytest.raises(ModelMalformed, match="not JSON"):
        await desk.ask(ask(schema=SCHEMA, provider="anthropic"))
    assert len(anthropic.asked) == 4
    assert desk.told[-1] is None


async def test_a_schema_that_cannot_be_used_ends_it_before_anything_is_paid(
    desk: Desk, anthropic: FakeAnthropic, openai: FakeOpenAI
):
    nothing_left = 1 / NANO  # to reserve is to exceed it
    for provider in ("auto", "anthropic", "openai"):
        for limit_usd in (None, nothing_left):
            with pytest.raises(InvalidInput, match="/schema/required has to be a list of names"):
                await desk.ask(ask(schema=SCHEMA | {"required": 5}, provider=provider, max_cost_usd=limit_usd))
    assert anthropic.asked == openai.asked == []
    assert await desk.calls() == []


async def test_what_no_store_keeps_is_not_in_an_answer(desk: Desk, anthropic: FakeAnthropic):
    anthropic.will(Says('{"n\\u0000": "\0"}'))
    reply = await desk.ask(ask(schema={"type": "object"}))
    assert reply.data == {"n\ufffd": "\ufffd"}
    assert "\0" not in desk.seen
    encode_json(reply, "the answer")


async def test_json_that_was_cut_off_asks_for_more_tokens(desk: Desk, anthropic: FakeAnthropic):
    anthropic.will(Says('{"n": ', stop="max_tokens"))
    with pytest.raises(ModelRefused, match="raise max_tokens"):
        await desk.ask(ask(schema=SCHEMA, max_tokens=3))
    assert desk.told[-1] is None


async def test_arguments_that_are_no_json_are_asked_for_once_more(desk: Desk, anthropic: FakeAnthropic):
    broken, good = (Says(calls=[Call("read_file", arguments)]) for arguments in ('{"path', {"path": "a"}))
    anthropic.will(broken, good, broken, broken)
    assert (await desk.ask(ask(tools=(READ,)))).tool_calls[0].arguments == {"path": "a"}
    with pytest.raises(ModelMalformed, match="read_file"):
        await desk.ask(ask(tools=(READ,), provider="anthropic"))


async def test_a_model_without_a_price_is_refused_and_a_chain_passes_it_over(desk: Desk, openai: FakeOpenAI):
    with pytest.raises(PriceUnknown, match="AUREA_PRICES"):
        await desk.ask(ask(provider="openai", model="llama3.2:3b"))
    assert openai.asked == []


async def test_the_worst_case_has_to_fit_the_tasks_limit(desk: Desk, anthropic: FakeAnthropic):
    with pytest.raises(BudgetExceeded) as exceeded:
        await desk.ask(ask(provider="anthropic", max_tokens=10_000, max_cost_usd=0.01))
    assert exceeded.value.scope == "task"
    assert exceeded.value.asked_usd > 0.1  # 10,000 tokens of output at Claude's price
    assert anthropic.asked == []


async def test_who_the_money_does_not_reach_for_is_passed_over(desk: Desk, openai: FakeOpenAI):
    openai.otherwise = Says("cheap")
    assert (await desk.ask(ask(max_tokens=1000, max_cost_usd=0.005))).text == "cheap"
    with pytest.raises(BudgetExceeded) as exceeded:
        await desk.ask(ask(max_tokens=1000, max_cost_usd=0.0001))
    assert exceeded.value.asked_usd > 0.01  # the figures are those of the first


async def test_a_task_that_is_cancelled_pays_for_what_it_heard(desk: Desk, anthropic: FakeAnthropic):
    anthropic.will(Says("a long story, told slowly", piece=1, pause_seconds=0.02, input_tokens=50))
    asking = asyncio.create_task(desk.ask(ask(provider="anthropic")))
    async with asyncio.timeout(5):
        await desk.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    ((_, _, read, said, _, ok),) = await desk.calls()
    assert (read, ok) == (50, False)
    assert 1 <= said < 20


async def test_a_timeout_before_the_first_byte_costs_nothing(desk: Desk, anthropic: FakeAnthropic):
    anthropic.will(Says("late", silent_seconds=30))
    with pytest.raises(ModelUnavailable, match=r"within 0\.05 s"):
        await desk.ask(ask(provider="anthropic", timeout_seconds=0.05))
    assert await desk.calls() == []


async def test_a_provider_without_a_key_is_named(desk: Desk):
    settings = Settings(_env_file=None)
    models = open_models(settings.model_accesses, settings.aurea_model_chain, None, desk.runtime.clock)
    desk.runtime = replace(desk.runtime, models=models)
    with pytest.raises(NotConfigured, match="set GEMINI_API_KEY to ask a model of gemini"):
        await desk.ask(ask(provider="gemini"))
    with pytest.raises(NotConfigured, match="set ANTHROPIC_API_KEY or OPENAI_API_KEY or GEMINI_API_KEY"):
        await desk.ask(ask())
