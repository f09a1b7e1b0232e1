"""Any server that speaks OpenAI's older API, chat completions: Ollama, vLLM, llama.cpp, gateways.

It keeps to what all of them know: `max_tokens` under its old name, one system message, no thinking handed back.
"""

from typing import Any

import openai
import orjson
from openai.types.chat import ChatCompletionChunk

from orchestrator.clock import Clock
from orchestrator.models.asking import Answer, Heard, arguments_of, in_words, stop_of
from orchestrator.models.http import BROKEN, open_http, within
from orchestrator.models.openai_errors import understand
from orchestrator.models.text import storable
from orchestrator.sdk.model import Message, ModelRequest, Stop, ToolCall, Usage

_NO_KEY = "none"
"""For a server that wants none; the SDK insists on something. It is no secret."""
_STOPS: dict[str, Stop] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_sequence"), "end"),
    "tool_calls": "tool",
    **dict.fromkeys(("length", "model_length"), "length"),
    "content_filter": "refusal",
}
"""OpenAI's own, and what servers of others say for the same."""


class OpenAICompatible:
    def __init__(self, key: str, base_url: str | None, clock: Clock) -> None:
        """`key` is empty for a server that wants none."""
        self._key = key
        self._clock = clock
        self._http = open_http()
        self._client = openai.AsyncOpenAI(
            api_key=key or _NO_KEY, base_url=base_url, max_retries=0, http_client=self._http
        )

    async def ask(self, model: str, request: ModelRequest, heard: Heard) -> Answer:
        body, turn = _body(model, request), _Turn(heard)
        try:
            async with await self._client.chat.completions.create(
                **body, stream=True, timeout=within(request.timeout_seconds)
            ) as stream:
                async for chunk in stream:
                    await turn.take(chunk)
            return turn.answer(len(request.messages))
        except (openai.APIError, *BROKEN) as error:
            fault = understand(error, begun=heard.begun, now=self._clock.now(), key=self._key)
        raise fault

    async def close(self) -> None:
        await self._client.close()


class _Turn:
    """An answer as it grows, chunk by chunk."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._calls: dict[int, dict[str, str]] = {}
        self._stop: str | None = None
        self._refusal: list[str] = []

    async def take(self, chunk: ChatCompletionChunk) -> None:
        self._heard.begin()
        if chunk.usage is not None:
            cached = chunk.usage.prompt_tokens_details.cached_tokens if chunk.usage.prompt_tokens_details else 0
            self._heard.usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens, cached or 0)
        for choice in chunk.choices or ():
            if choice.delta.content:
                await self._heard.text(choice.delta.content)
            if choice.delta.refusal:
                self._refusal.append(choice.delta.refusal)
            for part in choice.delta.tool_calls or ():
                self._grow(part.index, part.id, part.function)
            self._stop = choice.finish_reason or self._stop

    def _grow(self, index: int, call_id: str | None, function: Any) -> None:
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        call["id"] = call_id or call["id"]
        if function is not None:
            call["name"] = function.name or call["name"]
            call["arguments"] += function.arguments or ""
            self._heard.aside(function.arguments or "")

    def answer(self, turn: int) -> Answer:
        stop = stop_of(self._stop, _STOPS)
        if self._refusal:
            stop = "refusal"
        calls: list[ToolCall] = []
        if stop in ("end", "tool"):  # some servers say `stop` beside calls
            for index, call in sorted(self._calls.items()):
                arguments = arguments_of(call["name"], call["arguments"])
                name = storable(call["name"])  # such a server may let a model call what it likes
                calls.append(ToolCall(call["id"] or f"call_{turn}_{index}", name, arguments))
        return Answer(
            self._heard.words, "tool" if calls else stop, self._heard.usage, tuple(calls), "".join(self._refusal)
        )


def _body(model: str, request: ModelRequest) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
    for message in request.messages:
        messages += _told(message)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": messages,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
            }
            for tool in request.tools
        ]
    if request.schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": request.schema}}
    return body


def _told(message: Message) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": result.id, "content": in_words(result)} for result in message.tool_results
    ]
    if message.text or message.tool_calls:
        turn: dict[str, Any] = {"role": message.role, "content": message.text}
        if message.tool_calls:
            turn["tool_calls"] = [_call(call) for call in message.tool_calls]
        told.append(turn)
    return told


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()}
    return {"id": call.id, "type": "function", "function": function}
