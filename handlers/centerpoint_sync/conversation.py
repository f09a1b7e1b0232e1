"""Listening to a script until it ends: line by line, each told, kept or taken as its result."""

import asyncio
import re
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from handlers.centerpoint_sync.checkpoints import Checkpoints
from handlers.centerpoint_sync.endings import ProtocolBroken
from handlers.centerpoint_sync.protocol import (
    Checkpoint,
    Failure,
    Log,
    Message,
    Progress,
    Result,
    Unusable,
    is_message,
    kept_line,
    read_message,
    start_line,
)
from handlers.centerpoint_sync.telling import Telling
from orchestrator.sdk import Context, Redaction, Retry, Terminal

LONGEST_LINE_BYTES = 2**20
"""A longer line is output that is cut, whatever it says."""
_DECISIVE = re.compile(rb'\s*\{\s*"type"\s*:\s*"(checkpoint|result|failure)"')
"""A line that the outcome hangs on, and that the script may wait for, even where it is no JSON."""
_CHUNK_BYTES = 65_536
_LAST_WORDS = 100
"""Lines of standard error that are kept, to say why it ended."""


class Conversation:
    """One run of a script, seen from its worker."""

    def __init__(self, process: Process, ctx: Context, checkpoints: Checkpoints, redaction: Redaction) -> None:
        self.last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._process = process
        self._checkpoints = checkpoints
        self._redaction = redaction
        self._telling = Telling(ctx)
        self._lines = 0
        self._handed_over = 0
        self._result: Result | None = None
        self._last_json = b"null"
        self._ctx = ctx

    @property
    def result(self) -> Any:
        """What it gave as its result, else the last line that was JSON, else None."""
        if self._result is not None:
            return self._result.value
        return self._redaction.value(orjson.loads(self._last_json))

    async def follow(self, given: Any) -> int:
        """Start it with its input, listen until it ends and return its exit code.

        Raises ProtocolBroken, and what a failure that it reports asks for.
        """
        self._say(start_line(self._ctx.task_id, self._ctx.attempt, given, self._checkpoints.last))
        listening = asyncio.create_task(_listen(self._process.stderr, self._hear_error))
        try:
            await _listen(self._process.stdout, self._hear)
            await listening
            return await self._process.wait()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _hear_error(self, line: bytes) -> None:
        text = self._readable(line)
        self.last_words.append(text)
        await self._telling.line("stderr", text, "warning")

    async def _hear(self, line: bytes) -> None:
        self._lines += 1
        value = self._json(line)
        try:
            if is_message(value):
                await self._act(read_message(self._checked(value), self._lines))
                return
        except Unusable as unusable:
            await self._telling.line("stdout", str(unusable), "warning")
        await self._telling.line("stdout", self._readable(line), "info")

    def _json(self, line: bytes) -> Any:
        try:
            value = orjson.loads(line if len(line) <= LONGEST_LINE_BYTES else b"")
        except orjson.JSONDecodeError as error:
            if meant := _DECISIVE.match(line):
                too_long = len(line) > LONGEST_LINE_BYTES
                reason = f"it is longer than {LONGEST_LINE_BYTES} bytes" if too_long else str(error)
                raise ProtocolBroken(f"line {self._lines} is no {meant[1].decode()}: {reason}") from None
            return None
        if not is_message(value):
            self._last_json = line
        return value

    def _checked(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the message without secrets. A checkpoint would be another one without them: it is refused."""
        shown: dict[str, Any] = self._redaction.value(value)
        if shown != value and value["type"] == "checkpoint":
            raise ProtocolBroken(
                f"the checkpoint in line {self._lines} holds the value of a variable: keep secrets out of it,"
                " or list a variable that is none under shown_env"
            )
        return shown

    async def _act(self, message: Message) -> None:
        match message:
            case Log():
                await self._telling.log(message)
            case Progress():
                await self._telling.progress(message)
            case Checkpoint():
                await self._checkpoints.keep(message.state)
                self._handed_over += 1
                self._say(kept_line(self._handed_over))
            case Result():
                self._result = message
            case Failure():
                raise (
                    Retry(message.message, after=message.after_seconds) if message.retry else Terminal(message.message)
                )

    def _say(self, line: bytes) -> None:
        """Send a line; a script that does not read loses nothing, and does not stop anything."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(line)

    def _readable(self, line: bytes) -> str:
        return self._redaction.text(line[:LONGEST_LINE_BYTES].decode("utf-8", "replace").rstrip())


async def _listen(stream: asyncio.StreamReader | None, hear: Callable[[bytes], Awaitable[None]]) -> None:
    """Hear each line that is not empty, to the stream's end; of one too long its beginning, longer than the limit."""
    rest = b""
    while stream is not None and (chunk := await stream.read(_CHUNK_BYTES)):
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[: LONGEST_LINE_BYTES + 1]
        for line in lines:
            if line.strip():
                await hear(line)
    if rest.strip():
        await hear(rest)
