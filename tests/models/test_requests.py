"""What is sent to each provider: its own words for the same request, and nothing that it refuses."""

from dataclasses import replace

import pytest

from orchestrator.sdk import Message, ToolResult
from tests.fakes.replies import Call, Says
from tests.models.conftest import READ, Way, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
MAP = {"type": "object", "additionalProperties": {"type": "integer"}}


async def body(way: Way, **given: object) -> dict[str, object]:
    way.fake.forget()
    await way.ask(ask(**given))
    (sent,) = way.fake.bodies
    return dict(sent)


async def test_claude_gets_no_sampling_and_caches_what_tools_will_repeat(every_way: dict[str, Way]):
    way = every_way["anthropic"]
    plain = await body(way, system="Be brief.", max_tokens=77)
    assert plain["system"] == "Be brief."
    assert plain["max_tokens"] == 77
    assert plain.keys() == {"model", "max_tokens", "messages", "system", "stream"}
    assert (await body(way, tools=(READ,)))["cache_control"] == {"type": "ephemeral"}


async def test_claude_is_held_to_a_closed_schema_and_asked_for_an_open_one(every_way: dict[str, Way]):
    way = every_way["anthropic"]
    held = await body(way, schema=CLOSED, system="Be brief.")
    assert "additionalProperties" in str(held["output_config"])
    assert held["system"] == "Be brief."
    asked = await body(way, schema=MAP, system="Be brief.")
    assert "output_config" not in asked
    assert str(asked["system"]).startswith("Be brief.\n\nAnswer with one JSON value")
    assert '"additionalProperties":{"type":"integer"}' in str(asked["system"])
    odd = {"type": ["object", "null"], "properties": {"a": {}}, "additionalProperties": False}
    assert "output_config" not in await body(way, schema=odd)


async def test_gpt_is_held_strictly_where_the_schema_allows(every_way: dict[str, Way]):
    way = every_way["openai"]
    strict = (await body(way, schema=CLOSED))["text"]
    assert '"strict": true' in str(strict).lower().replace("'", '"')
    optional = (await body(way, schema=CLOSED | {"required": ["a"]}))["text"]
    assert '"strict": false' in str(optional).lower().replace("'", '"')
    plain = await body(way, system="Be brief.", max_tokens=77, tools=(READ,))
    assert (plain["store"], plain["max_output_tokens"], plain["instructions"]) == (False, 77, "Be brief.")


async def test_a_compatible_server_gets_what_all_of_them_know(every_way: dict[str, Way]):
    sent = await body(every_way["compatible"], system="Be brief.", max_tokens=77, schema=MAP)
    assert sent["max_tokens"] == 77
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hello."},
    ]
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": MAP}}


async def test_gemini_gets_the_schema_whole(every_way: dict[str, Way]):
    sent = await body(every_way["gemini"], system="Be brief.", max_tokens=77, schema=MAP)
    assert sent["generationConfig"] == {
        "maxOutputTokens": 77,
        "responseMimeType": "application/json",
        "responseJsonSchema": MAP,
    }
    assert "Be brief." in str(sent["systemInstruction"])


async def test_a_failed_tool_is_told_as_one(every_way: dict[str, Way]):
    for name, told in {
        "anthropic": "'is_error': True",
        "openai": "'output': 'error: no such file'",
        "compatible": "'content': 'error: no such file'",
        "gemini": "'response': {'error': 'no such file'}",
    }.items():
        way, request = every_way[name], ask(tools=(READ,))
        way.fake.forget()
        way.fake.will(Says(calls=[Call("read_file", {"path": "a"})]))
        answer = await way.ask(request)
        failed = ToolResult(answer.tool_calls[0].id, "no such file", is_error=True)
        turns = (Message("assistant", "", answer.tool_calls), Message("user", tool_results=(failed,)))
        await way.ask(replace(request, messages=(*request.messages, *turns)))
        assert told in str(way.fake.bodies[-1])
