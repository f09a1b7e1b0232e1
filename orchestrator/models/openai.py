"""GPT, by the Responses API: the one in which current models use tools while they think.

Nothing is stored at OpenAI; so what a model thought before it called tools comes back sealed, and goes to it again.
Another server under OPENAI_BASE_URL is spoken to by `openai_compatible`.
"""

from typing import Any

import openai
import orjson
from openai.types.responses import ResponseStreamEvent

from orchestrator.clock import Clock
from orchestrator.models.asking import Answer, Heard, arguments_of, in_words, stop_of
from orchestrator.models.chain import Candidate
from orchestrator.models.http import BROKEN, open_http, within
from orchestrator.models.openai_errors import of_failed_response, understand
from orchestrator.models.origin import own_words, sealed
from orchestrator.models.schema import is_closed, requires_all
from orchestrator.sdk.model import Message, ModelRequest, Stop, ToolCall, Usage

URL = "https://api.openai.com/v1"
_STOPS: dict[str, Stop] = {"completed": "end", "max_output_tokens": "length", "content_filter": "refusal"}
"""By the reason why an answer is incomplete, and `completed`."""


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
        self._stop: str | None = None
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
            case "response.completed":
                self._count(event.response.usage)
                self._stop = "completed"
            case "response.incomplete":
                self._count(event.response.usage)
                details = event.response.incomplete_details
                self._stop = (details.reason if details else None) or "incomplete"
            case "response.failed":
                self._count(event.response.usage)
                failure = event.response.error
                code, message = (failure.code, failure.message) if failure else (None, "it failed")
                raise of_failed_response(code, message, key=self._key)
            case "error":
                raise of_failed_response(event.code, event.message, key=self._key)

    def _count(self, usage: Any) -> None:
        if usage is not None:
            details = usage.input_tokens_details
            cached, written = getattr(details, "cached_tokens", 0), getattr(details, "cache_write_tokens", 0)
            self._heard.usage = Usage(usage.input_tokens, usage.output_tokens, cached or 0, written or 0)

    def answer(self, candidate: Candidate, request: ModelRequest) -> Answer:
        stop = stop_of(self._stop, _STOPS)
        if self._refusal:
            stop = "refusal"
        calls = [
            ToolCall(item["call_id"], item["name"], arguments_of(item["name"], item["arguments"]))
            for item in self._items
            if item["type"] == "function_call" and stop == "end"
        ]
        words = sealed(calls, candidate, request, self._items)
        return Answer(self._heard.words, "tool" if calls else stop, self._heard.usage, words, "".join(self._refusal))


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
