"""What a handler holds while it runs: the face of one attempt.

`Context` is for `async def` handlers, `SyncContext` for plain `def` ones; they promise the same. Used after its
attempt ended (by a thread that a timeout left behind), a context raises AttemptEnded and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.subscription import Signed
from orchestrator.sdk.artifact import Artifact, Bucket
from orchestrator.sdk.calls import Call
from orchestrator.sdk.endings import Terminal
from orchestrator.sdk.model import ModelReply, ModelRequest

if TYPE_CHECKING:  # the child process of a handler that makes no calls does not pay for the import
    import httpx2


@dataclass(frozen=True, slots=True)
class Config:
    """The settings a handler may read: environment variables of the worker, by name. An empty one is not set."""

    values: Mapping[str, str] = field(repr=False)

    def get(self, name: str) -> str | None:
        return self.values.get(name) or None

    def require(self, name: str) -> str:
        """Raises Terminal naming the variable when it is not set."""
        value = self.get(name)
        if value is None:
            raise Terminal(f"set {name} in the environment of the worker: this task needs it")
        return value


class _Attempt(Protocol):
    """What both contexts know of their attempt."""

    @property
    def task_id(self) -> str: ...

    @property
    def attempt(self) -> int:
        """The first is 1."""

    @property
    def fence(self) -> int:
        """Grows with every attempt: an outside store can refuse a write that carries an older one."""

    @property
    def cancelled(self) -> bool:
        """The attempt is over (cancelled, timed out, or its lease was lost): stop, nothing counts any more."""

    @property
    def deadline(self) -> datetime:
        """When the timeout ends the attempt."""

    @property
    def config(self) -> Config: ...

    def effect_key(self, name: str) -> str:
        """Return a key for one outside effect, 38 characters, the same in every attempt and replay of this task.

        Send it as the idempotency key of the call, so that the other side does it once.
        """
        return "aurea-" + sha256(f"{self.task_id}\n{name}".encode()).hexdigest()[:32]


class Context(_Attempt, Protocol):
    """One attempt, for an `async def` handler."""

    @property
    def http(self) -> httpx2.AsyncClient:
        """A client that refuses private addresses, unless the system allows them, and is part of the trace."""

    async def log(self, text: str, /, **fields: Any) -> None:
        """Tell the live stream and the history. Waits only when they cannot keep up."""

    async def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far it is, from 0 to 1."""

    async def token(self, text: str) -> None:
        """Tell a piece of growing text; pieces that follow within 25 ms travel together."""

    async def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Do this once for the task: its result, JSON or bytes, is kept, and a retry, crash or replay answers from it.

        `fn` is async, or plain and run in a thread. The answer is the value as JSON gives it back, the first time
        too (a tuple becomes a list, a model a dict). The name is the identity: a finished name is never run again,
        not even with other arguments, so one that comes twice in an attempt is refused: a loop has to number its steps.
        What `fn` raises is not kept. Inside `fn` nothing can wait (call, sleep, lock).
        A crash after `fn` and before its result is kept runs `fn` again: give its outside effect an `effect_key`.
        """

    async def submit(
        self,
        type: str,  # noqa: A002 - the word for it everywhere else
        payload: Any,
        *,
        key: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        delay_seconds: float | None = None,
    ) -> str:
        """Hand in another task and return its id once it is kept.

        Without `key` one is derived from this task, the type and the payload, so that a retry which comes by
        here again gets the same task; the same submission twice in one attempt makes two.
        """

    async def call(
        self,
        type: str,  # noqa: A002 - the word for it everywhere else
        payload: Any,
        *,
        name: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        max_retries: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:
        """Run a child task and return its result, without holding a worker meanwhile. Raises ChildFailed.

        While nothing but waits is under way in the handler, the task is parked as `waiting`: the handler is cancelled
        here, and runs again from the top when the child has ended. Finished steps and calls answer at once then, so
        what has an effect belongs into steps. `name` is the call's identity, by default its type and its number: a
        handler has to make its calls in the same order each time, or to name them. Calls made side by side
        (`asyncio.gather`, `TaskGroup`) run side by side. Cancelling this task cancels its children.
        """

    async def call_all(self, calls: Sequence[Call], *, return_exceptions: bool = False) -> list[Any]:
        """Run children side by side and return their results in order; the task is woken once all have ended.

        When all have ended it raises the first ChildFailed, or what a child was refused for (InvalidInput, TooLarge);
        with `return_exceptions` each stands in its place instead.
        """

    async def sleep(self, seconds: float, *, name: str | None = None) -> None:
        """Wait without holding a worker, as `call` does: at least so long, and rarely more than a second longer.

        A sleep that was once begun ends when it would have, whatever happens meanwhile.
        """

    def lock(self, name: str) -> AbstractAsyncContextManager[int]:
        """Hold a lock that only one task of the tenant holds at a time; waits for it without holding a worker.

        Entering gives the lock's own fence, which grows with every holder. The task holds it through retries, sleeps
        and calls inside the block, and lets it go at the block's end or its own.
        """

    async def artifact(
        self, name: str, data: bytes | str, *, content_type: str | None = None, bucket: Bucket = "orchestrator"
    ) -> Artifact:
        """Store a file of this task; the same name again replaces it. Without `content_type` the name's ending decides.

        Raises InvalidInput, TooLarge, NotConfigured and StoreRefused, which no retry can help, and Unavailable while
        the store is away (`orchestrator.sdk.refusals`).
        """

    async def sign(self, subscription: str | None, event_id: str, body: bytes) -> Signed:
        """Return where an event goes and the headers that prove it (Standard Webhooks), as of this moment.

        `subscription` is the id of one of the tenant's; None signs with the tenant's secret for callback URLs. Signed
        anew for every attempt, since receivers refuse an old timestamp. Waits while Postgres is away. Raises
        NotConfigured without AUREA_SIGNING_SECRETS.
        """

    async def generate(self, name: str, request: ModelRequest) -> ModelReply:
        """Ask a model, as the durable step `name`: an answer that was paid for is never paid for again.

        The worst case is reserved in the budget first. Raises InvalidInput, NotConfigured, BudgetExceeded,
        PriceUnknown and ModelRefused, which no retry can help; ModelUnavailable when every model of the chain failed,
        and ModelMalformed (`orchestrator.sdk.refusals`). In a conversation hand `reply.tool_calls` back unchanged.
        """


class SyncHttp(Protocol):
    """The context's HTTP client with blocking calls; arguments and responses are httpx2's."""

    def request(self, method: str, url: str, **options: Any) -> httpx2.Response: ...

    def get(self, url: str, **options: Any) -> httpx2.Response: ...

    def post(self, url: str, **options: Any) -> httpx2.Response: ...

    def put(self, url: str, **options: Any) -> httpx2.Response: ...

    def patch(self, url: str, **options: Any) -> httpx2.Response: ...

    def delete(self, url: str, **options: Any) -> httpx2.Response: ...


class SyncContext(_Attempt, Protocol):
    """One attempt, for a plain `def` handler, also one that names its parameter's type `Context`, which says what
    each call promises; a type checker needs this name to know that nothing is awaited."""

    @property
    def http(self) -> SyncHttp: ...

    def log(self, text: str, /, **fields: Any) -> None: ...

    def progress(self, fraction: float, text: str = "") -> None: ...

    def token(self, text: str) -> None: ...

    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """`fn` is plain and runs right here."""

    def submit(
        self,
        type: str,  # noqa: A002 - the word for it everywhere else
        payload: Any,
        *,
        key: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        delay_seconds: float | None = None,
    ) -> str: ...

    def call(
        self,
        type: str,  # noqa: A002 - the word for it everywhere else
        payload: Any,
        *,
        name: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        max_retries: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Any: ...

    def call_all(self, calls: Sequence[Call], *, return_exceptions: bool = False) -> list[Any]: ...

    def sleep(self, seconds: float, *, name: str | None = None) -> None: ...

    def lock(self, name: str) -> AbstractContextManager[int]: ...

    def artifact(
        self, name: str, data: bytes | str, *, content_type: str | None = None, bucket: Bucket = "orchestrator"
    ) -> Artifact: ...

    def sign(self, subscription: str | None, event_id: str, body: bytes) -> Signed: ...

    def generate(self, name: str, request: ModelRequest) -> ModelReply: ...
