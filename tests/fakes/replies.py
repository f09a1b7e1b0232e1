"""What a fake model is told to do. The same script works for every provider.

    fake.will(Says("Hello"), Fails(429, retry_after=7), Says(calls=[Call("read_file", {"path": "a.py"})]))

Each request takes the next reply; one more than there are takes `fake.otherwise` (`Says("All is well.")`). In place of
a reply stands a function of the request, too: `fake.will(lambda asked: Says(asked.json["model"]))`. A test that wants
one answer for everything sets `fake.otherwise`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.fakes.wire import Answered, Asked, Cut, Pause, WireServer


@dataclass
class Call:
    """A tool that the model calls. `arguments` as text are sent as they are, even when they are no JSON."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str | None = None

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else orjson.dumps(self.arguments).decode()


@dataclass
class Says:
    """An answer, streamed in pieces of `piece` characters."""

    text: str = ""
    calls: Sequence[Call] = ()
    stop: str | None = None
    """In the provider's own words; None: whatever fits."""
    thinking: str = ""
    refusal: str = ""
    piece: int = 8
    input_tokens: int | None = None
    """None: a token for four bytes of the request."""
    output_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cut_after: int | None = None
    """The connection breaks after so many pieces of the text."""
    ends_after: int | None = None
    """The stream ends there, in order, but without an end of the answer."""
    fails_after: int | None = None
    """The provider says there, inside the stream, that it is overloaded."""
    silent_seconds: float = 0.0
    """Before the first byte."""
    pause_seconds: float = 0.0
    """Between two pieces."""

    @property
    def is_whole(self) -> bool:
        return self.cut_after is self.ends_after is self.fails_after is None

    def pieces(self) -> list[str]:
        return [self.text[at : at + self.piece] for at in range(0, len(self.text), self.piece)]


@dataclass
class Fails:
    """An error, with the body that the provider would send."""

    status: int
    message: str = "something is wrong"
    retry_after: float | None = None
    code: str | None = None
    """Where the provider has a code or type besides the status; None: the usual one."""
    silent_seconds: float = 0.0


Reply = Says | Fails
Script = Reply | Callable[[Asked], Reply]


class FakeModel(WireServer):
    """What the fakes of all providers share. `key` is the one that is accepted."""

    key = ""
    models: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.otherwise: Script = Says("All is well.")
        self._script: list[Script] = []
        self._lock = threading.Lock()

    def will(self, *script: Script) -> None:
        """Add to what the next requests get."""
        with self._lock:
            self._script += script

    def forget(self) -> None:
        """Begin anew: nothing was asked, nothing is planned."""
        with self._lock:
            self._script.clear()
            self.asked.clear()
            self.otherwise = Says("All is well.")
            self.most_open = 0

    @property
    def bodies(self) -> list[Any]:
        """The JSON of every request."""
        return [asked.json for asked in self.asked]

    def next_reply(self, asked: Asked) -> Reply:
        with self._lock:
            script = self._script.pop(0) if self._script else self.otherwise
        return script(asked) if callable(script) else script


def grow(says: Says, event: Callable[[str], bytes], failure: bytes) -> Iterator[bytes | Pause | Cut]:
    """The text of an answer, piece by piece, up to where it is told to break; behind that goes nothing any more."""
    for number, piece in enumerate(says.pieces()):
        if says.fails_after == number:
            yield failure
            return
        if says.cut_after == number:
            yield Cut()
        if number and says.pause_seconds:
            yield Pause(says.pause_seconds)
        if says.ends_after == number:
            return
        yield event(piece)
    if says.cut_after is not None:
        yield Cut()


def sse(document: Any, event: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"event: %s\n" % event.encode() if event else b""
    return head + b"data: " + orjson.dumps(document) + b"\n\n"


def streamed(says: Says, events: Iterator[bytes | Pause | Cut]) -> Answered:
    """The events as an answer; they stop behind a `Cut`, and where the text was told to end."""

    def pieces() -> Iterator[bytes | Pause | Cut]:
        if says.silent_seconds:
            yield Pause(says.silent_seconds)
        yield from events

    return Answered(200, {"content-type": "text/event-stream"}, pieces())


def input_tokens(says: Says, asked: Asked) -> int:
    return says.input_tokens if says.input_tokens is not None else len(asked.body) // 4


def output_tokens(says: Says) -> int:
    if says.output_tokens is not None:
        return says.output_tokens
    return (len(says.text) + len(says.thinking) + sum(len(call.text) for call in says.calls)) // 4 + 1
