"""A turn in its provider's own words: what a model thought before it called tools, sealed, which it wants back.

The first call of a turn carries it. It is given back to the model that it came from, and only while all that went
before is what it was then: providers check that. Otherwise the turn is told anew from its text and calls.
"""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson

from orchestrator.models.chain import Candidate
from orchestrator.models.text import is_storable
from orchestrator.sdk.model import Message, ModelRequest, ToolCall


def sealed(
    calls: list[ToolCall], candidate: Candidate, request: ModelRequest, words: list[Any]
) -> tuple[ToolCall, ...]:
    """Return the calls of an answer to this request, with the turn's own words on the first.

    Words that cannot be kept as they are stay away: a provider refuses its own words when they were changed.
    """
    if not calls or not is_storable(words):
        return tuple(calls)
    *_, before = _digests(request)
    origin = {"model": str(candidate), "before": before, "calls": [call.id for call in calls], "words": words}
    return (replace(calls[0], origin=origin), *calls[1:])


def own_words(request: ModelRequest, candidate: Candidate) -> list[list[Any] | None]:
    """Return for each message the words to give back as they are; None where it has to be told anew."""
    return [
        _words(message, candidate, before) for message, before in zip(request.messages, _digests(request), strict=False)
    ]


def _words(message: Message, candidate: Candidate, before: str) -> list[Any] | None:
    origin = message.tool_calls[0].origin if message.tool_calls else None
    if origin is None or origin.get("model") != str(candidate) or origin.get("before") != before:
        return None
    words: list[Any] = origin["words"]
    return words if origin["calls"] == [call.id for call in message.tool_calls] else None


def _digests(request: ModelRequest) -> Iterator[str]:
    """What goes before each message, and at last before the one that follows."""
    told = sha256(orjson.dumps([request.system, request.tools, request.schema]))
    yield told.hexdigest()
    for message in request.messages:
        calls = [(call.id, call.name, call.arguments) for call in message.tool_calls]
        told.update(orjson.dumps([message.role, message.text, calls, message.tool_results]))
        yield told.hexdigest()
