"""How many tokens a request can have at the most, without asking anybody.

A token covers a byte of text at least, for every tokenizer of the providers; so the bytes of all that is sent are a
bound. What providers add unseen (roles, markers, their own instructions for tools and for JSON) gets an allowance.
"""

import json
from typing import Any

from orchestrator.sdk.model import Message, ModelRequest

_PER_REQUEST = 64
_PER_MESSAGE = 32
"""Also for each call of a tool and each result."""
_FOR_TOOLS = 1_024
_PER_TOOL = 64
_FOR_SCHEMA = 1_024


def most_input_tokens(request: ModelRequest) -> int:
    """Return a number of tokens that the input of this request cannot exceed, at any provider."""
    total = _PER_REQUEST + _bytes(request.system or "") + sum(_of_message(message) for message in request.messages)
    if request.tools:
        total += _FOR_TOOLS
    for tool in request.tools:
        total += _PER_TOOL + _bytes(tool.name) + _bytes(tool.description) + _json_bytes(tool.schema)
    if request.schema is not None:
        total += _FOR_SCHEMA + _json_bytes(request.schema)
    return total


def _of_message(message: Message) -> int:
    total = _PER_MESSAGE + _bytes(message.text)
    for call in message.tool_calls:
        total += _PER_MESSAGE + _bytes(call.id) + _bytes(call.name) + _json_bytes(call.arguments)
        if call.origin is not None:
            total += _json_bytes(call.origin)
    for result in message.tool_results:
        total += _PER_MESSAGE + _bytes(result.id) + _json_bytes(result.text)
    return total


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _json_bytes(value: Any) -> int:
    """The longest way to spell it, which escapes all that is not ASCII."""
    return len(json.dumps(value, default=str))
