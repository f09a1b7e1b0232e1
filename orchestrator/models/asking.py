"""One try at one model: what is asked of a provider, what is heard while it answers, and its answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from orchestrator.models.faults import bad_arguments, cut_short, unknown_stop
from orchestrator.models.text import load_json, storable
from orchestrator.sdk.model import ModelRequest, Stop, ToolCall, ToolResult, Usage

Tell = Callable[[str | None], Awaitable[None]]
"""Takes a piece of text as it comes. None: what it took so far does not count."""


@dataclass(slots=True)
class Heard:
    """What has come of an answer so far: when the stream breaks, this is what there was, and was paid for."""

    tell: Tell | None = None
    on_begin: Callable[[], None] = lambda: None
    """Called once, when the provider begins to answer."""
    begun: bool = False
    """It has: from here on it costs."""
    is_told: bool = False
    """Somebody has been told a piece of the text."""
    output_bytes: int = 0
    """Of text, thinking and arguments of tools. A token has one byte at least."""
    usage: Usage | None = None
    """As far as the provider has counted."""
    _pieces: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Note that something has come, whatever it is."""
        if not self.begun:
            self.begun = True
            self.on_begin()

    async def text(self, piece: str) -> None:
        """Take in a piece of the answer itself, as it can be kept, and pass it on."""
        self.aside(piece)
        piece = storable(piece)
        self._pieces.append(piece)
        if self.tell is not None and piece:
            self.is_told = True
            await self.tell(piece)

    def aside(self, piece: str) -> None:
        """Take in what is paid for and not shown: thinking, arguments of tools."""
        self.begin()
        self.output_bytes += len(piece.encode(errors="replace"))

    @property
    def words(self) -> str:
        return "".join(self._pieces)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `usage` is None where the provider does not count."""

    text: str
    stop: Stop
    usage: Usage | None
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str = ""
    """What the provider said about a refusal, if anything."""


class Provider(Protocol):
    """One provider, through its own SDK, on one HTTP client."""

    async def ask(self, model: str, request: ModelRequest, heard: Heard) -> Answer:
        """Ask once, without retries. Raises Fault, and what `heard.tell` raises."""

    async def close(self) -> None: ...


def stop_of(word: str | None, stops: Mapping[str, Stop]) -> Stop:
    """Return what a provider's word for the end of an answer means.

    Raises Fault where there is none, and for a word that nobody knows: such an answer may be half of one.
    """
    if word is None:
        raise cut_short()
    if word not in stops:
        raise unknown_stop(word)
    return stops[word]


def arguments_of(tool: str, text: str) -> dict[str, Any]:
    """Return the arguments of a tool's call. Raises Fault for what is not a JSON object."""
    try:
        arguments = load_json(text or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if isinstance(arguments, dict):
        return arguments
    raise bad_arguments(tool)


def in_words(result: ToolResult) -> str:
    """Return a tool's result for an API that has no other way to say that it failed."""
    return f"error: {result.text}" if result.is_error else result.text
