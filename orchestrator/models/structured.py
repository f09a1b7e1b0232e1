"""JSON by a schema: how a model is asked for it in words, how its text is read, and how it is asked to mend it."""

from dataclasses import replace
from typing import Any

import orjson

from orchestrator.models.schema import issues
from orchestrator.models.text import load_json
from orchestrator.sdk.model import Message, ModelRequest

_MOST_ISSUES = 10


def instructed(request: ModelRequest) -> str | None:
    """Return the system's text with the schema in it, for where the provider cannot be held to it."""
    if request.schema is None:
        return request.system
    wanted = (
        "Answer with one JSON value and nothing else: no Markdown, no explanation. It has to fit this JSON Schema:\n"
        + orjson.dumps(request.schema).decode()
    )
    return f"{request.system}\n\n{wanted}" if request.system else wanted


def read(text: str, schema: dict[str, Any]) -> tuple[Any, list[str]]:
    """Return the value in a model's text, and what is wrong with it. Raises InvalidInput as `issues` does."""
    try:
        value = load_json(_bare(text))
    except orjson.JSONDecodeError as error:
        return None, [f"it is not JSON: {error}"]
    return value, issues(value, schema)[:_MOST_ISSUES]


def mended(request: ModelRequest, text: str, wrong: list[str]) -> ModelRequest:
    """Return the request that shows a model its own answer, and what is wrong with it."""
    listed = "\n".join(f"- {issue}" for issue in wrong)
    ask = f"This does not fit the JSON Schema:\n{listed}\nAnswer again, with the whole corrected JSON value alone."
    said = (Message("assistant", text),) if text.strip() else ()
    return replace(request, messages=(*request.messages, *said, Message("user", ask)))


def _bare(text: str) -> str:
    """Take off the fence that models like to put around JSON."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") : -3].strip()
    return text
