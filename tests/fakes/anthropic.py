"""Anthropic's Messages API, as `POST /v1/messages` behaves. How it is scripted: `tests.fakes.replies`.

    with FakeAnthropic() as anthropic:
        anthropic.will(Says("Hello"), Fails(529), Says(calls=[Call("read_file", {"path": "a.py"})]))
        environment = {"ANTHROPIC_API_KEY": anthropic.key, "ANTHROPIC_BASE_URL": anthropic.url}

It checks what the real one checks: the key, the version, the model, sampling parameters (gone), a last turn of the
assistant (refused), results without their call, schemas that are not closed, and that thinking which comes back comes
back unchanged, behind the very conversation in which it was thought.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import orjson

from tests.fakes.replies import Call, Fails, FakeModel, Says, grow, input_tokens, output_tokens, sse, streamed
from tests.fakes.wire import Answered, Asked, Cut, Pause, answered

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class FakeAnthropic(FakeModel):
    key = "sk-ant-api03-canary-7c1f0b"
    models = frozenset({"claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"})

    def answer(self, asked: Asked) -> Answered:
        sent = asked.headers.get("x-api-key") or asked.headers.get("authorization", "").removeprefix("Bearer ")
        if sent != self.key:
            return _error(Fails(401, f"invalid x-api-key: {sent}"))  # the real one does not repeat it; a proxy may
        if (asked.method, asked.path) != ("POST", "/v1/messages") or "anthropic-version" not in asked.headers:
            return _error(Fails(404, f"no {asked.method} {asked.path}"))
        wrong = _complaint(asked.json)
        if wrong is not None:
            return _error(Fails(400, wrong))
        if asked.json["model"] not in self.models:
            return _error(Fails(404, f"model: {asked.json['model']}"))
        reply = self.next_reply(asked)
        if isinstance(reply, Fails):
            return _error(reply)
        if not asked.json.get("stream"):
            return _error(Fails(400, "this fake only streams"))
        return streamed(reply, _events(reply, asked))


def _error(fails: Fails) -> Answered:
    document = {"type": "error", "error": {"type": fails.code or _TYPES[fails.status], "message": fails.message}}
    headers = {} if fails.retry_after is None else {"retry_after": f"{fails.retry_after:g}"}
    response = answered(fails.status, {**document, "request_id": "req_011"}, request_id="req_011", **headers)
    if fails.silent_seconds:
        response.pieces = [Pause(fails.silent_seconds), *response.pieces]
    return response


def _complaint(body: Any) -> str | None:
    """Return what the API would say about the request."""
    gone = {"temperature", "top_p", "top_k"} & body.keys()
    if gone:
        return f"{min(gone)}: is not supported by this model"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        return "max_tokens: Field required"
    if not body.get("messages") or body["messages"][-1]["role"] != "user":
        return "messages: the last one has to be the user's; this model does not support prefill"
    form = body.get("output_config", {}).get("format")
    if form and not _is_closed(form["schema"]):
        return "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
    return _complaint_about_turns(body)


def _complaint_about_turns(body: Any) -> str | None:
    known: set[str] = set()
    for number, message in enumerate(body["messages"]):
        for block in message["content"] if isinstance(message["content"], list) else []:
            if block["type"] == "text" and not block["text"]:
                return f"messages.{number}: text content blocks must be non-empty"
            if block["type"] == "tool_result" and block["tool_use_id"] not in known:
                return f"messages.{number}: unexpected `tool_use_id` found in `tool_result` blocks"
            if block["type"] == "tool_use":
                known.add(block["id"])
            if block["type"] == "thinking" and block["signature"] != _signature(block["thinking"], body, number):
                return f"messages.{number}.content.0: Invalid `signature` in `thinking` block. The block is bound to"
    return None


def _is_closed(schema: Any) -> bool:
    if isinstance(schema, dict):
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
            return False
        return all(_is_closed(part) for part in schema.values())
    return all(_is_closed(part) for part in schema) if isinstance(schema, list) else True


def _signature(thinking: str, body: Any, before: int) -> str:
    """It seals the thought and all that went before it."""
    went_before = [thinking, body.get("system"), body.get("tools"), body["messages"][:before]]
    return sha256(orjson.dumps(went_before, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _events(says: Says, asked: Asked) -> Iterator[bytes | Pause | Cut]:
    counted = input_tokens(says, asked)
    usage = {
        "input_tokens": counted - says.cached_tokens - says.cache_write_tokens,
        "cache_read_input_tokens": says.cached_tokens,
        "cache_creation_input_tokens": says.cache_write_tokens,
        "output_tokens": 1,
    }
    message = {"id": "msg_013", "type": "message", "role": "assistant", "model": asked.json["model"], "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    yield sse({"type": "message_start", "message": message}, "message_start")
    yield sse({"type": "ping"}, "ping")
    index = 0
    if says.thinking:
        yield from _thinking(says.thinking, _signature(says.thinking, asked.json, len(asked.json["messages"])))
        index += 1
    if says.text:
        yield _start(index, {"type": "text", "text": ""})
        overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        yield from grow(
            says, lambda piece: _delta(index, {"type": "text_delta", "text": piece}), sse(overloaded, "error")
        )
        if not says.is_whole:
            return
        yield _stop(index)
        index += 1
    for number, call in enumerate(says.calls):
        yield from _tool(index + number, call, number)
    reason = says.stop or ("refusal" if says.refusal else "tool_use" if says.calls else "end_turn")
    delta: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if says.refusal:
        delta["stop_details"] = {"type": "refusal", "category": None, "explanation": says.refusal}
    ended = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens(says)}}
    yield sse(ended, "message_delta")
    yield sse({"type": "message_stop"}, "message_stop")


def _thinking(text: str, signature: str) -> Iterator[bytes]:
    yield _start(0, {"type": "thinking", "thinking": "", "signature": ""})
    yield _delta(0, {"type": "thinking_delta", "thinking": text})
    yield _delta(0, {"type": "signature_delta", "signature": signature})
    yield _stop(0)


def _tool(index: int, call: Call, number: int) -> Iterator[bytes]:
    identity = call.id or f"toolu_{number:02}{call.name}"
    yield _start(index, {"type": "tool_use", "id": identity, "name": call.name, "input": {}})
    text = call.text
    for at in range(0, len(text), 16):
        yield _delta(index, {"type": "input_json_delta", "partial_json": text[at : at + 16]})
    yield _stop(index)


def _start(index: int, block: dict[str, Any]) -> bytes:
    return sse({"type": "content_block_start", "index": index, "content_block": block}, "content_block_start")


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return sse({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")


def _stop(index: int) -> bytes:
    return sse({"type": "content_block_stop", "index": index}, "content_block_stop")
