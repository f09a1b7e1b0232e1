"""Locks, files and models of an attempt under test: granted, kept and scripted."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from orchestrator.clock import Clock
from orchestrator.domain.ids import Fence
from orchestrator.domain.signing import Generation, Signer
from orchestrator.domain.subscription import CALLBACKS, Signed
from orchestrator.domain.task import Claim
from orchestrator.sdk import Artifact, ModelReply, ModelRequest, Usage
from orchestrator.sdk.artifact import Bucket
from orchestrator.testing.record import Record
from orchestrator.worker.bench import Listener

SIGNER = Signer(("the master secret of every test",))
ENDPOINT = "https://example.com/hook"
"""Where every subscription leads."""

Script = Sequence[ModelReply | str | Exception] | Callable[[ModelRequest], ModelReply]
"""Answers in their order, a text for one of nothing else, or a function that gives them; an exception is raised."""


class Outside:
    """A worker's services, in memory."""

    def __init__(self, record: Record, clock: Clock, models: Script) -> None:
        self.requests: list[ModelRequest] = []
        self.locks: list[str] = []
        """Those that are held now."""
        self._record = record
        self._clock = clock
        self._models = models
        self._files: dict[str, tuple[Artifact, bytes]] = {}

    @property
    def artifacts(self) -> list[tuple[Artifact, bytes]]:
        return list(self._files.values())

    async def take_lock(self, claim: Claim, name: str) -> Fence | None:
        if name not in self.locks:
            self.locks.append(name)
        return Fence(1)

    async def release_lock(self, claim: Claim, name: str) -> None:
        with self._record.boundary():
            self.locks.remove(name)

    async def keep_artifact(self, claim: Claim, name: str, data: bytes, content_type: str, bucket: Bucket) -> Artifact:
        with self._record.boundary():
            file = Artifact(self._clock.task_id(), name, bucket, content_type, len(data), sha256(data).hexdigest())
            self._files[name] = file, data
        return file

    async def sign(self, claim: Claim, subscription: str | None, event_id: str, body: bytes) -> Signed:
        recipient, now = subscription or CALLBACKS, self._clock.now()
        headers = SIGNER.headers(claim.entry.tenant, recipient, Generation(), event_id, now, body)
        return Signed(None if subscription is None else ENDPOINT, headers)

    async def generate(self, claim: Claim, step: str, request: ModelRequest, listener: Listener) -> ModelReply:
        self.requests.append(request)
        reply = self._next(request)
        if request.stream and reply.text:
            half = len(reply.text) // 2
            await listener.grow(reply.text[:half])
            await listener.grow(reply.text[half:])
        return reply

    def _next(self, request: ModelRequest) -> ModelReply:
        if callable(self._models):
            return self._models(request)
        place = len(self.requests) - 1
        if place >= len(self._models):
            raise RuntimeError(f"the handler asks a model more often than {place} times: give the test models=[...]")
        answer = self._models[place]
        if isinstance(answer, Exception):
            raise answer
        return ModelReply(answer, "fake", "fake", "end", Usage(), 0.0) if isinstance(answer, str) else answer
