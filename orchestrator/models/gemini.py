"""Gemini, by google-genai and the Gemini API.

The SDK's own doings are off: it runs no functions, continues nothing, retries nothing. Calls of tools go back with the
signature of the thought behind them; one that has none (another model made the call) says so, as Google asks for.
"""

import json
from contextlib import aclosing
from typing import Any

import httpx2
import orjson
from google import genai
from google.genai import errors, types

from orchestrator.clock import Clock
from orchestrator.domain.retry_after import seconds_asked
from orchestrator.models import faults
from orchestrator.models.asking import Answer, Heard, arguments_of, stop_of
from orchestrator.models.chain import Candidate
from orchestrator.models.http import BROKEN, open_http, tls
from orchestrator.models.origin import own_words, sealed
from orchestrator.sdk.model import Message, ModelRequest, Stop, ToolCall, Usage

URL = "https://generativelanguage.googleapis.com"
_UNSIGNED = b"skip_thought_signature_validator"
_STOPS: dict[str, Stop] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), "refusal"),
    **dict.fromkeys(("IMAGE_SAFETY", "ESCALATION", "PUP_LIMITED_DISABLED", "MODEL_ARMOR"), "refusal"),
}
_MALFORMED = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS"})


class Gemini:
    def __init__(self, key: str, base_url: str | None, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._http = open_http()
        self._never_used = httpx2.Client(verify=tls())
        options = types.HttpOptions(
            base_url=base_url or URL, httpx_async_client=self._http, httpx_client=self._never_used
        )
        self._client = genai.Client(api_key=key, vertexai=False, http_options=options)

    async def ask(self, model: str, request: ModelRequest, heard: Heard) -> Answer:
        candidate = Candidate("gemini", model)
        contents, config, turn = _contents(candidate, request), _config(request), _Turn(heard)
        try:
            stream: Any = await self._client.aio.models.generate_content_stream(
                model=model, contents=contents, config=config
            )
            async with aclosing(stream):
                async for chunk in stream:
                    await turn.take(chunk)
            return turn.answer(candidate, request)
        except errors.APIError as error:
            fault = self._understand(error)
        except BROKEN as error:
            fault = faults.of_transport(error, begun=heard.begun)
        raise fault

    async def close(self) -> None:
        await self._http.aclose()
        self._never_used.close()

    def _understand(self, error: errors.APIError) -> faults.Fault:
        headers = getattr(error.response, "headers", None)
        wait = faults.asked_to_wait(headers, self._clock.now()) if headers is not None else None
        status = error.code if isinstance(error.code, int) else 500
        return faults.of_status(
            status, error.message or error.status or "", wait or self._delay(error), secret=self._key
        )

    def _delay(self, error: errors.APIError) -> float | None:
        """Google writes into the body when to come back: `{"retryDelay": "13s"}`."""
        body = error.details if isinstance(error.details, dict) else {}
        inner = body.get("error", body)
        for detail in inner.get("details", ()) if isinstance(inner, dict) else ():
            if isinstance(detail, dict) and "retryDelay" in detail:
                return seconds_asked(str(detail["retryDelay"]).removesuffix("s"), self._clock.now())
        return None


class _Turn:
    """An answer as it grows, part by part."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._parts: list[types.Part] = []
        self._stop: str | None = None
        self._refusal = ""

    async def take(self, chunk: types.GenerateContentResponse) -> None:
        self._heard.begin()
        self._count(chunk.usage_metadata)
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason is not None:
            self._stop = "SAFETY"
            self._refusal = f"the prompt was blocked: {chunk.prompt_feedback.block_reason.value}"
        for candidate in (chunk.candidates or ())[:1]:
            for part in (candidate.content.parts if candidate.content else None) or ():
                await self._grow(part)
            if candidate.finish_reason is not None:
                self._stop = candidate.finish_reason.value
                self._refusal = candidate.finish_message or f"it stopped for {self._stop}"

    async def _grow(self, part: types.Part) -> None:
        self._parts.append(part)
        if part.function_call is not None:
            self._heard.aside(str(part.function_call.args))
        elif part.thought:
            self._heard.aside(part.text or "")
        elif part.text:
            await self._heard.text(part.text)

    def _count(self, usage: types.GenerateContentResponseUsageMetadata | None) -> None:
        """What it thinks is counted apart, and costs as what it says."""
        if usage is not None and usage.prompt_token_count is not None:
            read = usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0)
            said = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
            self._heard.usage = Usage(read, said, usage.cached_content_token_count or 0)

    def answer(self, candidate: Candidate, request: ModelRequest) -> Answer:
        if self._stop in _MALFORMED:
            raise faults.Fault(faults.Kind.MALFORMED, f"it stopped for {self._stop}")
        stop = stop_of(self._stop, _STOPS)
        calls = self._calls(len(request.messages)) if stop == "end" else []
        words = [part.model_dump(mode="json", exclude_none=True) for part in self._parts]
        return Answer(
            self._heard.words,
            "tool" if calls else stop,
            self._heard.usage,
            sealed(calls, candidate, request, words),
            self._refusal if stop == "refusal" else "",
        )

    def _calls(self, turn: int) -> list[ToolCall]:
        asked = [part.function_call for part in self._parts if part.function_call is not None]
        for number, call in enumerate(asked):
            call.id = call.id or f"call_{turn}_{number}"
        return [_call(call.id or "", call.name or "", call.args or {}) for call in asked]


def _call(call_id: str, name: str, arguments: dict[str, Any]) -> ToolCall:
    """The SDK has read the arguments; they are read again as those of the others are."""
    return ToolCall(call_id, name, arguments_of(name, json.dumps(arguments)))


def _config(request: ModelRequest) -> types.GenerateContentConfig:
    declared = [
        types.FunctionDeclaration(name=tool.name, description=tool.description, parameters_json_schema=tool.schema)
        for tool in request.tools
    ]
    return types.GenerateContentConfig(
        system_instruction=request.system,
        max_output_tokens=request.max_tokens,
        tools=[types.Tool(function_declarations=declared)] if declared else None,
        response_mime_type="application/json" if request.schema is not None else None,
        response_json_schema=request.schema,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
        http_options=types.HttpOptions(timeout=max(1, int(request.timeout_seconds * 1000))),
    )


def _contents(candidate: Candidate, request: ModelRequest) -> list[types.Content]:
    names = {call.id: call.name for message in request.messages for call in message.tool_calls}
    contents = []
    for message, words in zip(request.messages, own_words(request, candidate), strict=True):
        parts = (
            [types.Part.model_validate_json(orjson.dumps(word)) for word in words] if words else _parts(message, names)
        )
        contents.append(types.Content(role="model" if message.role == "assistant" else "user", parts=parts))
    return contents


def _parts(message: Message, names: dict[str, str]) -> list[types.Part]:
    parts = [
        types.Part(
            function_response=types.FunctionResponse(
                id=result.id,
                name=names.get(result.id, ""),
                response={"error" if result.is_error else "output": result.text},
            )
        )
        for result in message.tool_results
    ]
    if message.text:
        parts.append(types.Part(text=message.text))
    parts += [
        types.Part(
            function_call=types.FunctionCall(id=call.id, name=call.name, args=call.arguments),
            thought_signature=_UNSIGNED,
        )
        for call in message.tool_calls
    ]
    return parts
