"""Google's Gemini API: `POST /v1/models/{model}:streamGenerateContent`. How it is scripted: `tests.fakes.replies`.

    with FakeGemini() as gemini:
        gemini.will(Says("Hello"), Fails(503), Says(calls=[Call("read_file", {"path": "a.py"})]))
        environment = {"GEMINI_API_KEY": gemini.key, "GEMINI_BASE_URL": gemini.url}

It checks the key (a wrong one is a 400, as at Google), the model, that results have a call, and that calls come back
with the signature of their thought, or with the word that stands for one from elsewhere.
"""

import base64
from collections.abc import Iterator
from typing import Any

from tests.fakes.replies import Fails, FakeModel, Says, grow, input_tokens, output_tokens, sse, streamed
from tests.fakes.wire import Answered, Asked, Cut, Pause, answered

_STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_SIGNATURE = base64.b64encode(b"thought-1").decode()
_FROM_ELSEWHERE = base64.b64encode(b"skip_thought_signature_validator").decode()


class FakeGemini(FakeModel):
    key = "AIzaSyCanary-9d31c4"
    models = frozenset({"gemini-3.8-flash", "gemini-4-argon"})

    def answer(self, asked: Asked) -> Answered:
        if asked.headers.get("x-goog-api-key") != self.key:
            sent = asked.headers.get("x-goog-api-key")
            return _error(Fails(400, f"API key not valid. Please pass a valid API key: {sent}"))
        model, _, verb = asked.path.removeprefix("/v1/models/").partition(":")
        if asked.method != "POST" or verb != "streamGenerateContent" or asked.query.get("alt") != ["sse"]:
            return _error(Fails(404, f"no {asked.method} {asked.path}"))
        if model not in self.models:
            return _error(Fails(404, f"models/{model} is not found for API version v1"))
        wrong = _complaint(asked.json)
        if wrong is not None:
            return _error(Fails(400, wrong))
        reply = self.next_reply(asked)
        if isinstance(reply, Fails):
            return _error(reply)
        return streamed(reply, _chunks(reply, asked))


def _error(fails: Fails) -> Answered:
    """When to come back stands in the body, not in a header."""
    details = [] if fails.retry_after is None else [_retry(fails.retry_after)]
    status = fails.code or _STATUSES.get(fails.status, "UNKNOWN")
    error = {"code": fails.status, "message": fails.message, "status": status, "details": details}
    response = answered(fails.status, {"error": error})
    if fails.silent_seconds:
        response.pieces = [Pause(fails.silent_seconds), *response.pieces]
    return response


def _retry(seconds: float) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}


def _complaint(body: Any) -> str | None:
    names: list[str] = []
    for content in body["contents"]:
        calls = [part for part in content["parts"] if "functionCall" in part]
        names += [part["functionCall"]["name"] for part in calls]
        if calls and calls[0].get("thoughtSignature") not in (_SIGNATURE, _FROM_ELSEWHERE):
            return "Function call is missing a thought_signature in functionCall parts."
        for part in content["parts"]:
            if "functionResponse" in part and part["functionResponse"]["name"] not in names:
                return "Please ensure that function response turn comes immediately after a function call turn."
    return None


def _chunks(says: Says, asked: Asked) -> Iterator[bytes | Pause | Cut]:
    read = input_tokens(says, asked)

    def chunk(parts: list[dict[str, Any]], reason: str | None = None, **usage: int) -> bytes:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        if reason is not None:
            candidate["finishReason"] = reason
        if says.refusal and reason is not None:
            candidate["finishMessage"] = says.refusal
        counts = {"promptTokenCount": read, "totalTokenCount": read, **usage}
        return sse({"candidates": [candidate], "usageMetadata": counts, "modelVersion": "fake"})

    if says.stop == "BLOCKED":
        yield sse({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": read}})
        return
    if says.thinking:
        yield chunk([{"text": says.thinking, "thought": True}])
    failure = sse({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})
    yield from grow(says, lambda piece: chunk([{"text": piece}]), failure)
    if not says.is_whole:
        return
    calls: list[dict[str, Any]] = []
    for number, call in enumerate(says.calls):
        function = {"name": call.name, "args": call.arguments} | ({"id": call.id} if call.id else {})
        calls.append({"functionCall": function} | ({"thoughtSignature": _SIGNATURE} if number == 0 else {}))
    said = output_tokens(says)
    thought = len(says.thinking) // 4
    reason = says.stop or ("SAFETY" if says.refusal else "STOP")
    yield chunk(
        calls,
        reason,
        candidatesTokenCount=said - thought,
        thoughtsTokenCount=thought,
        cachedContentTokenCount=says.cached_tokens,
    )
