"""A model call as a handler makes it: one shape for every provider, and the answer."""

from dataclasses import dataclass, field
from typing import Any, Literal

Provider = Literal["auto", "anthropic", "openai", "gemini"]
OnBudget = Literal["fail", "wait"]
Stop = Literal["end", "tool", "length", "refusal"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model asks for. Hand it back as it came, in the turn of the assistant that goes before the result."""

    id: str
    name: str
    arguments: dict[str, Any]
    origin: dict[str, Any] | None = field(default=None, repr=False)
    """On a turn's first call: the turn in its provider's own words, thinking included: it wants that back."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What it gets; `id` is the call's."""

    id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    A turn of the user has text or the results of tools; one of the assistant text, the calls it made, or both.
    """

    role: Literal["user", "assistant"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; `schema` is the JSON Schema of its arguments, an object."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What to ask, whom, and for how much at most."""

    messages: tuple[Message, ...]
    system: str | None = None
    provider: Provider = "auto"
    """`auto` follows the configured chain: the first one that works answers."""
    model: str | None = None
    """None: the one configured for the provider. With `auto` it has to be None."""
    max_tokens: int = 4096
    tools: tuple[Tool, ...] = ()
    schema: dict[str, Any] | None = None
    """Answer with JSON of this schema: it comes back parsed and checked, as `ModelReply.data`."""
    stream: bool = True
    """Whether the text becomes `token` events while it grows."""
    timeout_seconds: float = 300.0
    """For one try at one provider."""
    max_cost_usd: float | None = None
    """What this task may spend in all, over every model call of its life."""
    on_budget: OnBudget = "fail"
    """When the money does not reach: fail for good, or wait for the next day (UTC) without holding a worker."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call used, as the provider counts; `input_tokens` includes what was read from or written to a cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input: read from the provider's cache."""
    cache_write_tokens: int = 0
    """Of the input: written to it."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model answered."""

    text: str
    provider: str
    model: str
    stop: Stop
    usage: Usage
    cost_usd: float
    tool_calls: tuple[ToolCall, ...] = ()
    data: Any = field(default=None)
    """The parsed JSON, when a schema was asked for."""
