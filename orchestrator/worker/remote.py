"""The worker as its child process sees it, at the other end of a socket."""

import asyncio
import itertools
import os
import signal
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from orchestrator.domain.events import Told
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.steps import Step
from orchestrator.domain.subscription import Signed
from orchestrator.domain.task import Claim
from orchestrator.sdk import Artifact, ModelReply, ModelRequest
from orchestrator.sdk.artifact import Bucket
from orchestrator.worker.bench import Listener, Postponed, Submission
from orchestrator.worker.frames import Frame, read_frame, read_steps, write_frame
from orchestrator.worker.refusal import read_refusal
from orchestrator.worker.replies import read_reply, write_request


class RemoteWorker:
    """Keeps the promises of the bench's Journal, Steps, Submit and Services by asking the worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Frame]] = {}

    def begun(self) -> None:
        """Say that the handler begins; what went before was this process' start."""
        write_frame(self._writer, {"op": "begun"})

    def append(self, told: Told) -> None:
        """The worker numbers what it is told; it gives the event its place."""
        write_frame(self._writer, {"op": "tell", "kind": told.kind, "data": told.data})

    async def room(self) -> None:
        """The worker reads no further while its journal is full, so the socket fills."""
        await self._writer.drain()

    async def load(self, claim: Claim) -> Mapping[str, Step]:
        return read_steps(await self._ask({"op": "load"}))

    async def begin(self, claim: Claim, steps: Sequence[Step]) -> Mapping[str, Step]:
        return read_steps(await self._ask({"op": "begin", "steps": list(steps)}))

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        return bool(await self._ask({"op": "save", "name": name, "result": result}))

    async def submit(self, claim: Claim, submission: Submission) -> TaskId:
        return TaskId(await self._ask({"op": "submit", "submission": asdict(submission)}))

    async def take_lock(self, claim: Claim, name: str) -> Fence | None:
        fence: Fence | None = await self._ask({"op": "take_lock", "name": name})
        return fence

    async def release_lock(self, claim: Claim, name: str) -> None:
        await self._ask({"op": "release_lock", "name": name})

    async def keep_artifact(self, claim: Claim, name: str, data: bytes, content_type: str, bucket: Bucket) -> Artifact:
        asked = {"op": "artifact", "name": name, "content_type": content_type, "bucket": bucket}
        return Artifact(**await self._ask({**asked, "data": b64encode(data)}))

    async def sign(self, claim: Claim, subscription: str | None, event_id: str, body: bytes) -> Signed:
        asked = {"op": "sign", "subscription": subscription, "event_id": event_id, "body": b64encode(body)}
        return Signed(**await self._ask(asked))

    async def generate(
        self, claim: Claim, step: str, request: ModelRequest, listener: Listener
    ) -> ModelReply | Postponed:
        """The worker listens itself."""
        answer = await self._ask({"op": "generate", "step": step, "request": write_request(request)})
        if "until" in answer:
            return Postponed(datetime.fromisoformat(answer["until"]), answer["reason"])
        return read_reply(orjson.dumps(answer))

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
            raise read_refusal(answered)
        return answered["value"]
