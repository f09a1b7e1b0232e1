"""Claude, by the Messages API.

Sampling parameters are not sent: current models refuse them. What the model thinks is not shown; a turn that calls
tools goes back to it as it came, thinking included. Requests with tools use the prompt cache: the next one of their
conversation begins the same.
"""

from typing import Any

import anthropic
from anthropic.types import RawMessageStreamEvent

from orchestrator.clock import Clock
from orchestrator.models import faults, structured
from orchestrator.models.asking import Answer, Heard, arguments_of, stop_of
from orchestrator.models.chain import Candidate
from orchestrator.models.http import BROKEN, open_http, within
from orchestrator.models.origin import own_words, sealed
from orchestrator.models.schema import is_closed
from orchestrator.sdk.model import Message, ModelRequest, Stop, ToolCall, Usage

URL = "https://api.anthropic.com"
_STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
"""Without `pause_turn`: it ends half an answer, and comes with tools that run at the provider: none are asked for."""
_STATUSES = {
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "invalid_request_error": 400,
    "overloaded_error": 529,
}
"""For an error inside a stream, whose own status is 200."""


class Anthropic:
    def __init__(self, key: str, base_url: str | None, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._http = open_http()
        self._client = anthropic.AsyncAnthropic(
            api_key=key, base_url=base_url or URL, max_retries=0, http_client=self._http
        )

    async def ask(self, model: str, request: ModelRequest, heard: Heard) -> Answer:
        candidate = Candidate("anthropic", model)
        body, turn = _body(candidate, request), _Turn(heard)
        try:
            async with await self._client.messages.create(
                **body, stream=True, timeout=within(request.timeout_seconds)
            ) as stream:
                async for event in stream:
                    await turn.take(event)
            return turn.answer(candidate, request)
        except anthropic.APIStatusError as error:
            fault = self._understand(error)
        except (anthropic.APIConnectionError, *BROKEN) as error:
            fault = faults.of_transport(error, begun=heard.begun)
        raise fault

    async def close(self) -> None:
        await self._client.close()

    def _understand(self, error: anthropic.APIStatusError) -> faults.Fault:
        status = error.status_code if error.status_code >= 300 else _STATUSES.get(error.type or "", 500)
        wait = faults.asked_to_wait(error.response.headers, self._clock.now())
        return faults.of_status(status, error.api_message or error.type or error.message, wait, secret=self._key)


class _Turn:
    """An answer as it grows, block by block."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._blocks: list[dict[str, Any]] = []
        self._arguments: dict[int, list[str]] = {}
        self._stop: str | None = None
        self._refusal = ""

    async def take(self, event: RawMessageStreamEvent) -> None:
        self._heard.begin()
        if event.type == "message_start":
            self._count(event.message.usage)
        elif event.type == "content_block_start":
            self._blocks.append(event.content_block.to_dict())
        elif event.type == "content_block_delta":
            await self._grow(event.index, event.delta)
        elif event.type == "message_delta":
            self._count(event.usage)
            self._stop = event.delta.stop_reason
            if event.delta.stop_details is not None:
                self._refusal = event.delta.stop_details.explanation or ""

    async def _grow(self, index: int, delta: Any) -> None:
        block = self._blocks[index]
        if delta.type == "text_delta":
            block["text"] += delta.text
            await self._heard.text(delta.text)
        elif delta.type == "input_json_delta":
            self._arguments.setdefault(index, []).append(delta.partial_json)
            self._heard.aside(delta.partial_json)
        elif delta.type == "thinking_delta":
            block["thinking"] += delta.thinking
            self._heard.aside(delta.thinking)
        elif delta.type == "signature_delta":
            block["signature"] = delta.signature
            self._heard.aside(delta.signature)

    def _count(self, usage: Any) -> None:
        """Counts are running totals; those that are left out stay as they were. Here the input is without the cache."""
        before = self._heard.usage or Usage()
        read = _or(usage.cache_read_input_tokens, before.cached_tokens)
        written = _or(usage.cache_creation_input_tokens, before.cache_write_tokens)
        plain = _or(usage.input_tokens, before.input_tokens - before.cached_tokens - before.cache_write_tokens)
        self._heard.usage = Usage(plain + read + written, usage.output_tokens, read, written)

    def answer(self, candidate: Candidate, request: ModelRequest) -> Answer:
        stop = stop_of(self._stop, _STOPS)
        calls = sealed(self._calls(), candidate, request, self._blocks) if stop == "tool" else ()
        return Answer(self._heard.words, stop, self._heard.usage, calls, self._refusal)

    def _calls(self) -> list[ToolCall]:
        for index, pieces in self._arguments.items():
            self._blocks[index]["input"] = arguments_of(self._blocks[index]["name"], "".join(pieces))
        uses = (block for block in self._blocks if block["type"] == "tool_use")
        return [ToolCall(block["id"], block["name"], block["input"]) for block in uses]


def _body(candidate: Candidate, request: ModelRequest) -> dict[str, Any]:
    messages = zip(request.messages, own_words(request, candidate), strict=True)
    body: dict[str, Any] = {
        "model": candidate.model,
        "max_tokens": request.max_tokens,
        "messages": [{"role": message.role, "content": words or _content(message)} for message, words in messages],
    }
    form = _form(request)
    if form is not None:
        body["output_config"] = {"format": form}
    system = request.system if form is not None else structured.instructed(request)
    if system:
        body["system"] = system
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in request.tools
        ]
        body["cache_control"] = {"type": "ephemeral"}
    return body


def _content(message: Message) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": result.id, "content": result.text, "is_error": result.is_error}
        for result in message.tool_results
    ]
    if message.text:
        content.append({"type": "text", "text": message.text})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in message.tool_calls
    ]
    return content


def _form(request: ModelRequest) -> dict[str, Any] | None:
    """Return the schema as the API takes it; None when it cannot hold the model to this one."""
    if request.schema is None or not is_closed(request.schema):
        return None
    try:
        return {"type": "json_schema", "schema": anthropic.transform_schema(request.schema)}
    except (ValueError, AssertionError, TypeError, AttributeError):  # it has something that this API does not know
        return None


def _or(count: int | None, otherwise: int) -> int:
    return otherwise if count is None else count
