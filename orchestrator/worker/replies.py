"""Model requests and replies as JSON: on their way to a step's result, to a child process, and back."""

from dataclasses import asdict
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from orchestrator.sdk import ModelReply, ModelRequest


@cache
def _replies() -> TypeAdapter[ModelReply]:
    return TypeAdapter(ModelReply)


@cache
def _requests() -> TypeAdapter[ModelRequest]:
    return TypeAdapter(ModelRequest)


def read_reply(text: bytes) -> ModelReply:
    """Raises ValueError for what is no reply: a step of that name was something else before."""
    return _replies().validate_json(text)


def write_request(request: ModelRequest) -> dict[str, Any]:
    return asdict(request)


def read_request(sent: dict[str, Any]) -> ModelRequest:
    return _requests().validate_python(sent)
