"""The bench a worker lays out for its attempts: everything an attempt may reach, and nothing else.

The worker, the child process of an isolated handler, and `orchestrator.testing` each bring their own parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.clock import Clock
from orchestrator.domain.events import Told
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.steps import Step
from orchestrator.domain.subscription import Signed
from orchestrator.domain.task import Claim
from orchestrator.sdk import Artifact, Config, ModelReply, ModelRequest
from orchestrator.sdk.artifact import Bucket
from orchestrator.worker.threads import Threads

if TYPE_CHECKING:  # the child process of a handler that makes no calls does not pay for the import
    import httpx2


class Journal(Protocol):
    """Where what handlers tell goes. Called on the loop's thread."""

    def append(self, told: Told) -> None:
        """Take an event in, at once; order is kept."""

    async def room(self) -> None:
        """Return when there is room: at once, unless the journal is full."""


class Steps(Protocol):
    """The steps of tasks."""

    async def load(self, claim: Claim) -> Mapping[str, Step]:
        """Return what the claim's task has finished or begun, by name."""

    async def begin(self, claim: Claim, steps: Sequence[Step]) -> Mapping[str, Step]:
        """Keep calls and sleeps that begin; return them as they were first begun, none for a stale attempt."""

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        """Keep a result under the claim's fence; False when a newer fence exists and nothing was kept."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A task that a handler hands in. None leaves a choice to the task's handler and the system."""

    type: str
    payload: Any
    key: str | None = None
    priority: int | None = None
    queue: str | None = None
    delay_seconds: float | None = None
    max_retries: int | None = None
    timeout_seconds: float | None = None
    child_id: TaskId | None = None
    """Of a task that is called: the parent waits for it under this id."""


class Submit(Protocol):
    async def __call__(self, claim: Claim, submission: Submission) -> TaskId:
        """Return once the task is kept. Raises the errors of operations.submit."""


class Listener(Protocol):
    """Who hears of a model call while it goes on."""

    async def grow(self, text: str | None) -> None:
        """A piece of the text; None when what was heard is to be dropped."""

    async def note(self, text: str) -> None:
        """What was done: a model that failed, and the like."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The money does not reach, and the request is to wait for the next day."""

    until: datetime
    reason: str


class Services(Protocol):
    """What an attempt may ask for besides."""

    async def take_lock(self, claim: Claim, name: str) -> Fence | None:
        """Return the lock's fence, None while another task holds it. Raises LeaseLost."""

    async def release_lock(self, claim: Claim, name: str) -> None: ...

    async def keep_artifact(
        self, claim: Claim, name: str, data: bytes, content_type: str, bucket: Bucket
    ) -> Artifact: ...

    async def sign(self, claim: Claim, subscription: str | None, event_id: str, body: bytes) -> Signed:
        """Return where an event of the task's tenant goes, and what proves it."""

    async def generate(
        self, claim: Claim, step: str, request: ModelRequest, listener: Listener
    ) -> ModelReply | Postponed:
        """Ask a model; the listener hears the text as it grows, and what was done on the way."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One for all attempts of a worker."""

    clock: Clock
    journal: Journal
    steps: Steps
    submit: Submit
    services: Services
    http: Callable[[], httpx2.AsyncClient]
    """Gives the one client, opened at the first call or before."""
    config: Config
    max_result_bytes: int
    allow_private: Sequence[str] = ()
    """Hosts that a client opened in a child process may reach although they are private."""
    http_headers: Callable[[], Mapping[str, str]] = dict
    """Gives the headers that carry the current trace into a child process' requests."""
    token_join_seconds: float = 0.025
    """Tokens that follow within this time travel as one event."""
    gather_seconds: float = 0.01
    """Waits that a handler names within this time, side by side, park it together."""
    threads: Threads = field(default_factory=Threads)
    open: Callable[[Claim], Claim] = lambda claim: claim
    """Gives the claim as the handler sees it, its payload opened. Raises SealKeyMissing or SealBroken."""
    begun: Callable[[Claim], None] = lambda _: None
    """Hears when the handler of an attempt that has a process of its own begins."""
