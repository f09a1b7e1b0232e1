"""GPT, by the Responses API: the one in which current models use tools while they think.

Nothing is stored at OpenAI; so what a model thought before it called tools comes back sealed, and goes to it again.
Another server under OPENAI_BASE_URL is spoken to by `openai_compatible`.
"""

from typing import Any

import openai
import orjson
from openai.types.responses import ResponseStreamEvent

from orchestrator.clock import Clock
from orchestrator.models import faults
from orchestrator.models.asking import Answer, Heard, arguments_of, in_words
from orchestrator.models.chain import Candidate
from orchestrator.models.http import BROKEN, open_http, within
from orchestrator.models.openai_errors import understand
from orchestrator.models.origin import own_words, sealed
from orchestrator.models.schema import is_closed, requires_all
from orchestrator.sdk.model import Message, ModelRequest, Stop, ToolCall, Usage

URL = "https://api.openai.com/v1"
_STATUSES = {"rate_limit_exceeded": 429, "server_error": 500, "vector_store_timeout": 500}
"""For an answer that fails after it began; what is not here is a policy, or a bad request."""


class OpenAI:
    def __init__(self, key: str, base_url: str | None, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._http = open_http()
        self._client = openai.AsyncOpenAI(api_key=key, base_url=base_url or URL, max_retries=0, http_client=self._http)

    async def ask(self, model: str, request: ModelRequest, heard: Heard) -> Answer:
        candidate = Candidate("openai", model)
        body, turn = _body(candidate, request), _Turn(heard, self._key)
        try:
            async with await self._client.responses.create(
                **body, stream=True, timeout=within(request.timeout_seconds)
            ) as stream:
                async for event in stream:
                    await turn.take(event)
            return turn.answer(candidate, request)
        except (openai.APIError, *BROKEN) as error:
            fault = understand(error, begun=heard.begun, now=self._clock.now(), key=self._key)
        raise fault

    async def close(self) -> None:
        await self._client.close()


class _Turn:
    """An answer as it grows, from one item of output to the next."""

    def __init__(self, heard: Heard, key: str) -> None:
        self._heard = heard
        self._key = key
        self._items: list[dict[str, Any]] = []
        self._stop: Stop | None = None
        self._refusal: list[str] = []

    async def take(self, event: ResponseStreamEvent) -> None:
        self._heard.begin()
        match event.type:
            case "response.output_text.delta":
                await self._heard.text(event.delta)
            case "response.refusal.delta":
                self._heard.aside(event.delta)
                self._refusal.append(event.delta)
            case "response.function_call_arguments.delta":
                self._heard.aside(event.delta)
            case "response.output_item.done":
                self._items.append(event.item.to_dict(exclude_none=True))
            case "response.completed" | "response.incomplete":
                self._end(event.response)
            case "response.failed":
                self._count(event.response.usage)
                failure = event.response.error
                self._fail(failure.code if failure else None, failure.message if failure else "it failed")
            case "error":
                self._fail(event.code, event.message)

    def _end(self, response: Any) -> None:
        self._count(response.usage)
        reason = response.incomplete_details.reason if response.incomplete_details else None
        if reason == "content_filter" or self._refusal:
            self._stop = "refusal"
        else:
            self._stop = "end" if reason is None else "length"

    def _count(self, usage: Any) -> None:
        if usage is not None:
            details = usage.input_tokens_details
            cached, written = getattr(details, "cached_tokens", 0), getattr(details, "cache_write_tokens", 0)
            self._heard.usage = Usage(usage.input_tokens, usage.output_tokens, cached or 0, written or 0)

    def _fail(self, code: str | None, message: str) -> None:
        status = _STATUSES.get(code or "server_error", 400)
        raise faults.of_status(status, f"{code}: {message}", secret=self._key)

    def answer(self, candidate: Candidate, request: ModelRequest) -> Answer:
        if self._stop is None:
            raise faults.cut_short()
        calls = [
            ToolCall(item["call_id"], item["name"], arguments_of(item["name"], item["arguments"]))
            for item in self._items
            if item["type"] == "function_call" and self._stop == "end"
        ]
        stop: Stop = "tool" if calls else self._stop
        words = sealed(calls, candidate, request, self._items)
        return Answer(self._heard.words, stop, self._heard.usage, words, "".join(self._refusal))


def _body(candidate: Candidate, request: ModelRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": candidate.model,
        "max_output_tokens": request.max_tokens,
        "store": False,
        "input": [],
    }
    for message, words in zip(request.messages, own_words(request, candidate), strict=True):
        body["input"] += words or _items(message)
    if request.system:
        body["instructions"] = request.system
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
                "strict": False,
            }
            for tool in request.tools
        ]
    if request.schema is not None:
        strict = is_closed(request.schema) and requires_all(request.schema)
        form = {"type": "json_schema", "name": "answer", "schema": request.schema, "strict": strict}
        body["text"] = {"format": form}
    return body


def _items(message: Message) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [
        {"type": "function_call_output", "call_id": result.id, "output": in_words(result)}
        for result in message.tool_results
    ]
    if message.text:
        items.append({"role": message.role, "content": message.text})
    items += [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": orjson.dumps(call.arguments).decode(),
        }
        for call in message.tool_calls
    ]
    return items
