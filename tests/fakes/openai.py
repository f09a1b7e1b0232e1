"""OpenAI's API: `POST /v1/responses`, and `POST /v1/chat/completions` as other servers speak it. How it is scripted:
`tests.fakes.replies`.

    with FakeOpenAI() as openai:
        openai.will(Says("Hello"), Fails(429, retry_after=7), Says(calls=[Call("read_file", {"path": "a.py"})]))
        environment = {"OPENAI_API_KEY": openai.key, "OPENAI_BASE_URL": openai.base_url}

With OPENAI_BASE_URL the system speaks chat completions; `/v1/responses` is for the adapter of OpenAI itself. It checks
the key, the model, old and new names of the output's limit, outputs of tools without their call, and strict schemas.
"""

from collections.abc import Iterator
from typing import Any

from tests.fakes.replies import Call, Fails, FakeModel, Says, grow, input_tokens, output_tokens, sse, streamed
from tests.fakes.wire import Answered, Asked, Cut, Pause, answered

_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_OVERLOADED = "The server is overloaded."


class FakeOpenAI(FakeModel):
    key = "sk-proj-canary-52e9aa"
    models = frozenset({"gpt-6.1-sol", "gpt-6-luna", "llama3.2:3b"})
    wants_key = True

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def answer(self, asked: Asked) -> Answered:
        sent = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self.wants_key and sent != self.key:
            return _error(Fails(401, f"Incorrect API key provided: {sent}."))
        events = {"/v1/responses": _response, "/v1/chat/completions": _completion}.get(asked.path)
        if events is None or asked.method != "POST":
            return _error(Fails(404, f"Invalid URL ({asked.method} {asked.path})", code="unknown_url"))
        complain = _complaint_about_response if events is _response else _complaint_about_completion
        wrong = complain(asked.json)
        if wrong is not None:
            return _error(Fails(400, wrong))
        if asked.json["model"] not in self.models:
            return _error(Fails(404, f"The model `{asked.json['model']}` does not exist or you do not have access."))
        reply = self.next_reply(asked)
        if isinstance(reply, Fails):
            return _error(reply)
        return streamed(reply, events(reply, asked))


def _error(fails: Fails) -> Answered:
    code = fails.code or _CODES.get(fails.status)
    document = {"error": {"message": fails.message, "type": "invalid_request_error", "param": None, "code": code}}
    headers = {} if fails.retry_after is None else {"retry_after": f"{fails.retry_after:g}"}
    response = answered(fails.status, document, x_request_id="req_7", **headers)
    if fails.silent_seconds:
        response.pieces = [Pause(fails.silent_seconds), *response.pieces]
    return response


# --- Responses ------------------------------------------------------------------------------------------------------


def _complaint_about_response(body: Any) -> str | None:
    if "messages" in body or "max_tokens" in body:
        return "Unsupported parameter: this is the Responses API."
    known = {item["call_id"] for item in body["input"] if item.get("type") == "function_call"}
    for item in body["input"]:
        if item.get("type") == "function_call_output" and item["call_id"] not in known:
            return f"No tool call found for function call output with call_id {item['call_id']}."
        if item.get("type") == "reasoning" and item.get("encrypted_content") != f"sealed:{item['id']}":
            return "The encrypted content could not be verified."
    form = body.get("text", {}).get("format", {})
    return _complaint_about_schema(form.get("schema")) if form.get("strict") else None


def _complaint_about_schema(schema: Any) -> str | None:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            if schema.get("additionalProperties") is not False:
                return "Invalid schema: 'additionalProperties' is required to be supplied and to be false."
            if set(schema.get("required", ())) != set(schema.get("properties", ())):
                return "Invalid schema: 'required' is required to be an array including every key in properties."
        return next(filter(None, map(_complaint_about_schema, schema.values())), None)
    return None


def _response(says: Says, asked: Asked) -> Iterator[bytes | Pause | Cut]:
    number = iter(range(10_000))

    def event(kind: str, **fields: Any) -> bytes:
        return sse({"type": kind, "sequence_number": next(number), **fields}, kind)

    whole: dict[str, Any] = {"id": "resp_1", "object": "response", "created_at": 1, "model": asked.json["model"]}
    whole |= {"output": [], "status": "in_progress", "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    yield event("response.created", response=whole)
    at = 0
    for item in _before(says):
        yield event("response.output_item.added", output_index=at, item={**item, "encrypted_content": "half"})
        yield event("response.output_item.done", output_index=at, item=item)
        at += 1
    if says.text:
        place = {"item_id": "msg_1", "output_index": at, "content_index": 0}
        failure = event("error", code="server_error", message=_OVERLOADED, param=None)
        yield from grow(
            says, lambda piece: event("response.output_text.delta", **place, delta=piece, logprobs=[]), failure
        )
        if not says.is_whole:
            return
        content = [{"type": "output_text", "text": says.text, "annotations": []}]
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
        yield event("response.output_item.done", output_index=at, item=item)
        at += 1
    if says.refusal:
        place = {"item_id": "msg_1", "output_index": at, "content_index": 0}
        yield event("response.refusal.delta", **place, delta=says.refusal)
    for index, call in enumerate(says.calls):
        identity = {"item_id": f"fc_{index}", "output_index": at + index}
        yield event("response.function_call_arguments.delta", **identity, delta=call.text)
        yield event("response.output_item.done", output_index=at + index, item=_function_call(index, call))
    whole["usage"] = _usage(says, asked)
    yield _end(says, whole, event)


def _before(says: Says) -> list[dict[str, Any]]:
    if not says.thinking:
        return []
    return [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed:rs_1"}]


def _function_call(index: int, call: Call) -> dict[str, Any]:
    item = {"type": "function_call", "id": f"fc_{index}", "status": "completed", "name": call.name}
    return item | {"call_id": call.id or f"call_{index}{call.name}", "arguments": call.text}


def _usage(says: Says, asked: Asked) -> dict[str, Any]:
    read, said = input_tokens(says, asked), output_tokens(says)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": says.cached_tokens, "cache_write_tokens": says.cache_write_tokens},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + said,
    }


def _end(says: Says, whole: dict[str, Any], event: Any) -> bytes:
    """`stop` is `failed`, or the reason why the answer is incomplete."""
    if says.stop == "failed":
        error = {"code": "server_error", "message": _OVERLOADED}
        return bytes(event("response.failed", response=whole | {"status": "failed", "error": error}))
    if says.stop is not None:
        details = {"status": "incomplete", "incomplete_details": {"reason": says.stop}}
        return bytes(event("response.incomplete", response=whole | details))
    return bytes(event("response.completed", response=whole | {"status": "completed"}))


# --- Chat completions -----------------------------------------------------------------------------------------------


def _complaint_about_completion(body: Any) -> str | None:
    if "max_completion_tokens" in body:
        return "Unknown parameter: 'max_completion_tokens'."  # as the servers of others, which only know the old name
    known = {call["id"] for message in body["messages"] for call in message.get("tool_calls", ())}
    for message in body["messages"]:
        if message["role"] == "tool" and message["tool_call_id"] not in known:
            return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
    return None


def _completion(says: Says, asked: Asked) -> Iterator[bytes | Pause | Cut]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked.json["model"]}
        return sse(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None})

    yield chunk({"role": "assistant", "content": ""})
    failure = sse({"error": {"message": _OVERLOADED, "type": "server_error", "param": None, "code": None}})
    yield from grow(says, lambda piece: chunk({"content": piece}), failure)
    if not says.is_whole:
        return
    if says.refusal:
        yield chunk({"refusal": says.refusal})
    for index, call in enumerate(says.calls):
        function = {"name": call.name, "arguments": ""}
        identity = call.id or f"call_{index}{call.name}"
        yield chunk({"tool_calls": [{"index": index, "id": identity, "type": "function", "function": function}]})
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": call.text}}]})
    yield chunk({}, says.stop or ("tool_calls" if says.calls else "stop"))
    if asked.json.get("stream_options", {}).get("include_usage") and says.input_tokens != 0:
        read, said = input_tokens(says, asked), output_tokens(says)
        usage = {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}
        usage["prompt_tokens_details"] = {"cached_tokens": says.cached_tokens}  # type: ignore[assignment]
        yield sse(
            {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
        )
    yield b"data: [DONE]\n\n"
