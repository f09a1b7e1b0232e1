"""The worker as its child process sees it, at the other end of a socket: a journal, the steps, a way to submit."""

import asyncio
import itertools
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.domain.errors import AureaError
from orchestrator.domain.events import Told
from orchestrator.domain.ids import TaskId
from orchestrator.domain.task import Claim
from orchestrator.sdk import Terminal
from orchestrator.worker.bench import Submission
from orchestrator.worker.frames import Frame, read_frame, write_frame


class RemoteWorker:
    """Keeps the promises of the bench's Journal, Steps and Submit by asking the worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Frame]] = {}

    def begin(self) -> None:
        """Say that the handler begins; what went before was this process' start."""
        write_frame(self._writer, {"op": "begun"})

    def append(self, told: Told) -> None:
        """The worker numbers what it is told; it gives the event its place."""
        write_frame(self._writer, {"op": "tell", "kind": told.kind, "data": told.data})

    async def room(self) -> None:
        """The worker reads no further while its journal is full, so the socket fills."""
        await self._writer.drain()

    async def load(self, task_id: TaskId) -> Mapping[str, bytes]:
        kept = await self._ask({"op": "load"})
        return {name: result.encode() for name, result in kept.items()}

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        return bool(await self._ask({"op": "save", "name": name, "result": result}))

    async def submit(self, claim: Claim, submission: Submission) -> TaskId:
        return TaskId(await self._ask({"op": "submit", "submission": asdict(submission)}))

    async def hand_in(self, frame: Frame) -> None:
        write_frame(self._writer, frame)
        await self._writer.drain()

    async def listen(self) -> None:
        """Take in answers until the worker is gone; then nobody waits for this process and those it started."""
        while (frame := await read_frame(self._reader)) is not None:
            answer = self._asked.pop(frame["number"])
            if not answer.done():
                answer.set_result(frame)
        os.killpg(0, signal.SIGKILL)

    async def _ask(self, frame: Frame) -> Any:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        await self.hand_in({**frame, "number": number})
        answered = await answer
        if "refused" in answered:
            raise (Terminal if answered["terminal"] else AureaError)(answered["refused"])
        return answered["value"]
