"""What holds for every provider alike, through its own SDK over real HTTP."""

import asyncio
import threading
from dataclasses import replace

import httpx2
import orjson
import pytest

from orchestrator.models.asking import Heard
from orchestrator.models.faults import Fault, Kind
from orchestrator.sdk import Message, ModelRequest, ToolCall, ToolResult
from tests.fakes.replies import Call, Fails, Says
from tests.models.conftest import READ, Way, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")

ITEM = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["name", "count"],
    "additionalProperties": False,
}


def after(request: ModelRequest, text: str, calls: tuple[ToolCall, ...]) -> ModelRequest:
    """The conversation goes on: the calls, and what came of them."""
    results = tuple(ToolResult(call.id, f"contents of {call.arguments['path']}") for call in calls)
    turns = (Message("assistant", text, calls), Message("user", tool_results=results))
    return replace(request, messages=(*request.messages, *turns))


async def test_text_grows_piece_by_piece_and_is_counted(way: Way):
    told: list[str] = []

    async def tell(piece: str | None) -> None:
        assert piece
        told.append(piece)

    way.fake.will(
        Says("Hello, world: ä, 🙂!", thinking="a greeting", input_tokens=40, output_tokens=9, cached_tokens=30)
    )
    heard = Heard(tell)
    answer = await way.ask(ask(system="Be kind."), heard)
    assert answer.text == "".join(told) == "Hello, world: ä, 🙂!"
    assert len(told) > 1
    assert answer.stop == "end"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (40, 9)
    assert answer.usage.cached_tokens == 30
    assert "a greeting" not in "".join(told)


async def test_tools_are_called_and_their_results_go_back_behind_the_thought(way: Way):
    request = ask("Compare the two.", tools=(READ,), system="You edit files.")
    calls = [Call("read_file", {"path": "a.py"}), Call("read_file", {"path": "ü.py"})]
    way.fake.will(Says("Let me look.", thinking="two files", calls=calls), Says("They differ."))
    answer = await way.ask(request)
    assert answer.stop == "tool"
    assert [call.arguments for call in answer.tool_calls] == [{"path": "a.py"}, {"path": "ü.py"}]
    assert len({call.id for call in answer.tool_calls}) == 2
    assert (await way.ask(after(request, answer.text, answer.tool_calls))).text == "They differ."
    sent = str(way.fake.bodies[-1])
    assert "contents of ü.py" in sent
    if way.name != "compatible":  # which has no form for it
        assert "two files" in sent or "sealed:rs_1" in sent


async def test_a_conversation_that_was_shortened_is_told_anew(way: Way):
    """Thoughts are bound to what went before them: without it they would be refused."""
    request = ask("Compare the two.", tools=(READ,))
    way.fake.will(Says("Look.", thinking="hm", calls=[Call("read_file", {"path": "a.py"})]))
    answer = await way.ask(request)
    shortened = replace(request, messages=(Message("user", "Compare."),))
    assert (await way.ask(after(shortened, answer.text, answer.tool_calls))).text == "All is well."
    assert "thinking" not in str(way.fake.bodies[-1]["messages"] if way.name == "anthropic" else "")


async def test_a_conversation_begun_with_one_model_goes_on_with_another(every_way: dict[str, Way]):
    for first in every_way.values():
        request = ask("Read it.", tools=(READ,))
        first.fake.will(Says("Look.", thinking="hm", calls=[Call("read_file", {"path": "a.py"})]))
        answer = await first.ask(request)
        for second in every_way.values():
            assert (await second.ask(after(request, answer.text, answer.tool_calls))).text == "All is well."


async def test_a_schema_is_asked_for_in_the_providers_own_way(way: Way):
    way.fake.will(Says('{"name": "nut", "count": 3}'))
    answer = await way.ask(ask(schema=ITEM))
    assert answer.text == '{"name": "nut", "count": 3}'
    (body,) = way.fake.bodies
    assert "count" in str(body.get("output_config") or body.get("text") or body.get("response_format") or body)
    assert "JSON Schema" not in str(body)


async def test_an_answer_that_was_cut_at_its_limit_says_so(way: Way):
    reasons = {
        "anthropic": "max_tokens",
        "openai": "max_output_tokens",
        "compatible": "length",
        "gemini": "MAX_TOKENS",
    }
    way.fake.will(Says("Once upon a", stop=reasons[way.name], calls=[Call("read_file", {"path": "a"})]))
    answer = await way.ask(ask(tools=(READ,), max_tokens=3))
    assert (answer.stop, answer.text, answer.tool_calls) == ("length", "Once upon a", ())


async def test_a_refusal_is_told_with_its_reason(way: Way):
    way.fake.will(Says("", refusal="That would hurt somebody."))
    answer = await way.ask(ask())
    assert answer.stop == "refusal"
    assert answer.refusal == ("it stopped for SAFETY" if way.name == "gemini" else "That would hurt somebody.")


@pytest.mark.parametrize(
    ("fails", "kind"),
    [
        (Fails(402), Kind.PERMISSION),
        (Fails(403), Kind.PERMISSION),
        (Fails(413), Kind.CONTEXT),
        (Fails(400, "prompt is too long: 210000 tokens > 200000 maximum"), Kind.CONTEXT),
        (Fails(400, "Your input exceeds the context window of this model"), Kind.CONTEXT),
        (Fails(400, "The input token count (1200000) exceeds the maximum number of tokens allowed"), Kind.CONTEXT),
        (Fails(400, "Output blocked by content filtering policy"), Kind.CONTENT),
        (Fails(400, "Your credit balance is too low"), Kind.PERMISSION),
        (Fails(400, "max_tokens: 1 > 0"), Kind.REQUEST),
        (Fails(408), Kind.AWAY),
        (Fails(500), Kind.AWAY),
        (Fails(503), Kind.AWAY),
        (Fails(529, "Overloaded"), Kind.AWAY),
        (Fails(307), Kind.REQUEST),
    ],
    ids=lambda value: f"{value.status} {value.message[:20]}" if isinstance(value, Fails) else str(value),
)
async def test_errors_are_understood(every_way: dict[str, Way], fails: Fails, kind: Kind):
    for way in every_way.values():
        way.fake.will(replace(fails, code=fails.code or "error"))
        heard = Heard()
        fault = await way.fault(ask(), heard)
        assert (way.name, fault.kind) == (way.name, kind)
        assert str(fails.status) in str(fault)
        assert not heard.begun  # nothing was used
        assert fault.__cause__ is fault.__context__ is None  # nothing of the SDK's goes along


async def test_a_wrong_key_is_not_repeated(own_way: Way):
    own_way.provider._key = "sk-wrong-s3cret"  # type: ignore[attr-defined]
    client = own_way.provider._client  # type: ignore[attr-defined]
    if own_way.name == "gemini":
        client._api_client._http_options.headers["x-goog-api-key"] = "sk-wrong-s3cret"
    else:
        client.api_key = "sk-wrong-s3cret"
    fault = await own_way.fault(ask())
    assert fault.kind is Kind.KEY
    assert "s3cret" not in str(fault)
    assert "[redacted]" in str(fault)


async def test_an_unknown_model_is_told(own_way: Way):
    own_way.model = "nobody-1"
    fault = await own_way.fault(ask())
    assert fault.kind is Kind.MODEL
    assert "nobody-1" in str(fault)


async def test_a_429_says_when_to_come_back(way: Way):
    way.fake.will(Fails(429, "Slow down.", retry_after=7))
    fault = await way.fault(ask())
    assert (fault.kind, fault.retry_after_seconds) == (Kind.LIMITED, 7.0)


@pytest.mark.parametrize("how", ["cut_after", "ends_after", "fails_after"])
async def test_a_stream_that_breaks_leaves_what_was_heard(way: Way, how: str):
    way.fake.will(Says("Once upon a time there was", input_tokens=40, **{how: 2}))
    heard = Heard()
    fault = await way.fault(ask(), heard)
    assert fault.kind in (Kind.BROKEN, Kind.AWAY)
    assert fault.kind.passes
    assert heard.begun
    assert heard.words == "Once upon a time"
    assert heard.output_bytes >= 16


async def test_a_first_byte_that_does_not_come_is_a_timeout(way: Way):
    way.fake.will(Says("late", silent_seconds=30))
    heard = Heard()
    fault = await way.fault(ask(timeout_seconds=0.05), heard)
    assert fault.kind is Kind.SLOW
    assert not heard.begun


async def test_nobody_there_is_a_fault_that_passes(own_way: Way):
    class Closed(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("refused")

    own_way.provider._http._transport = Closed()  # type: ignore[attr-defined]
    own_way.provider._http._mounts = {}  # type: ignore[attr-defined]
    fault = await own_way.fault(ask())
    assert fault.kind is Kind.AWAY
    assert "ConnectError" in str(fault)


async def test_arguments_that_are_no_json_are_malformed(way: Way):
    broken = Says(calls=[Call("read_file", '{"path": ')])
    way.fake.will(Says(stop="MALFORMED_FUNCTION_CALL") if way.name == "gemini" else broken)
    assert (await way.fault(ask(tools=(READ,)))).kind is Kind.MALFORMED


@pytest.mark.filterwarnings("ignore:.*is not a valid FinishReason")  # the SDK of Gemini says so, too
@pytest.mark.parametrize("stop", ["pause_turn", "novel_reason"])
async def test_an_end_that_nobody_knows_is_a_broken_answer(way: Way, stop: str):
    way.fake.will(Says("Once upon a", stop=stop, input_tokens=40))
    heard = Heard()
    fault = await way.fault(ask(), heard)
    assert (fault.kind, str(fault)) == (Kind.BROKEN, f"it stopped for {stop}")
    assert heard.usage is not None
    assert heard.usage.input_tokens == 40  # it is paid for


@pytest.mark.parametrize(("stop", "means"), [("eos", "end"), ("model_length", "length")])
async def test_other_servers_words_for_an_end_are_known(every_way: dict[str, Way], stop: str, means: str):
    way = every_way["compatible"]
    way.fake.will(Says("All of it", stop=stop))
    assert (await way.ask(ask())).stop == means


async def test_characters_that_no_store_keeps_are_replaced(way: Way):
    told: list[str | None] = []

    async def tell(piece: str | None) -> None:
        told.append(piece)

    request = ask("Read it.", tools=(READ,))
    way.fake.will(Says("a\0b", thinking="\0", calls=[Call("read_file", {"path": "c\0", "\0": ["\\u0000"]})], piece=1))
    answer = await way.ask(request, Heard(tell))
    assert answer.text == "a\ufffdb"
    assert "".join(piece or "" for piece in told) == answer.text
    (call,) = answer.tool_calls
    assert call.arguments == {"path": "c\ufffd", "\ufffd": ["\\u0000"]}
    assert b"\\u0000" not in orjson.dumps([answer.text, call.id, call.name, call.origin])
    assert (await way.ask(after(request, answer.text, answer.tool_calls))).text == "All is well."


async def test_a_cancelled_call_ends_its_connection(way: Way):
    way.fake.will(Says("a long story, told slowly", piece=1, pause_seconds=0.02))
    begun = asyncio.Event()

    async def tell(_: str | None) -> None:
        begun.set()

    asking = asyncio.create_task(way.ask(ask(), Heard(tell)))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(5):
        await way.fake.idle()


async def test_what_the_listener_raises_comes_through(way: Way):
    class Ended(Exception):
        pass

    async def tell(_: str | None) -> None:
        raise Ended

    with pytest.raises(Ended):
        await way.ask(ask(), Heard(tell))


async def test_two_hundred_streams_run_side_by_side(every_way: dict[str, Way]):
    way = every_way["anthropic"]
    way.fake.otherwise = Says("x" * 40, piece=10, pause_seconds=0.1)
    answers = await asyncio.gather(*(way.ask(ask()) for _ in range(200)), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, Fault)] == []
    assert way.fake.most_open == 200
    assert threading.active_count() < 20  # none of them has a thread
