"""What a child process prints becomes log events of its attempt: line by line, bounded in length and in number."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from orchestrator.domain.errors import AttemptEnded
from orchestrator.worker.context import AttemptContext

MOST_LINES = 1_000
LONGEST_LINE_BYTES = 4_096
_CHUNK_BYTES = 65_536
_LAST_WORDS_SECONDS = 0.5
"""For what was printed just before the end; longer only when a process that left the group holds the pipe."""


class Output:
    """One stream of a child. Hand `write_end` to the child, then call `started`; `end` it when the child is gone."""

    def __init__(self, stream: str, context: AttemptContext) -> None:
        self.write_end = -1
        self._stream = stream
        self._context = context
        self._reader = asyncio.StreamReader()
        self._transport: asyncio.ReadTransport | None = None
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        read_end, self.write_end = os.pipe()
        protocol = asyncio.StreamReaderProtocol(self._reader)
        pipe = os.fdopen(read_end, "rb", buffering=0)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        self._following = asyncio.create_task(self._follow())

    def started(self) -> None:
        """Close this side's copy of the child's end, so that the pipe ends with the child."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    async def end(self) -> None:
        """Take in the last lines, for a moment, then close."""
        self.started()
        try:
            if self._following is not None:
                with suppress(TimeoutError, AttemptEnded):
                    async with asyncio.timeout(_LAST_WORDS_SECONDS):
                        await self._following
        finally:
            if self._transport is not None:
                self._transport.close()

    async def _follow(self) -> None:
        """Read to the end, also what is not kept: a child whose pipe is full would stand still."""
        told, rest = 0, b""
        while chunk := await self._reader.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:LONGEST_LINE_BYTES]
            for line in lines:
                told += 1
                await self._tell(line, told)
        if rest:
            await self._tell(rest, told + 1)

    async def _tell(self, line: bytes, number: int) -> None:
        if number > MOST_LINES + 1 or not line.strip():
            return
        text = line[:LONGEST_LINE_BYTES].decode("utf-8", "replace").rstrip()
        if number == MOST_LINES + 1:
            text = f"printed {MOST_LINES} lines: the rest is dropped"
        await self._context.log(text, stream=self._stream)
