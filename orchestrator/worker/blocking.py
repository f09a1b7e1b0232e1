"""The context of a plain `def` handler: every call waits, in the handler's thread, for the loop to do it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.sdk import Artifact, Call, Config, ModelReply, ModelRequest, Signed, SyncContext, SyncHttp
from orchestrator.sdk.artifact import Bucket
from orchestrator.worker.context import AttemptContext
from orchestrator.worker.encoding import decode_step
from orchestrator.worker.waits import inside

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")


class Interrupted(BaseException):
    """The attempt has ended, or is parked, while its thread waited: the handler is left from here."""


class BlockingContext(SyncContext):
    """Made on the loop, used in another thread."""

    __slots__ = ("_context", "_loop")

    def __init__(self, context: AttemptContext) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()

    @property
    def task_id(self) -> str:
        return self._context.task_id

    @property
    def attempt(self) -> int:
        return self._context.attempt

    @property
    def fence(self) -> int:
        return self._context.fence

    @property
    def cancelled(self) -> bool:
        return self._context.cancelled

    @property
    def deadline(self) -> datetime:
        return self._context.deadline

    @property
    def config(self) -> Config:
        return self._context.config

    @property
    def http(self) -> SyncHttp:
        return BlockingHttp(self._context.http, self._wait)

    def log(self, text: str, /, **fields: Any) -> None:
        self._wait(self._context.log, text, **fields)

    def progress(self, fraction: float, text: str = "") -> None:
        self._wait(self._context.progress, fraction, text)

    def token(self, text: str) -> None:
        self._wait(self._context.token, text)

    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if inspect.iscoroutinefunction(fn):
            raise TypeError(f"the step {name!r} of a plain def handler needs a plain function, not an async one")
        with self._context.one_at_a_time(name):
            kept = self._wait(self._context.finished, name)
            if kept is None:
                with inside(name):
                    value = fn(*args, **kwargs)
                kept = self._wait(self._context.keep, name, value)
            self._context.take_name(name)
        return decode_step(kept)

    def submit(
        self,
        type: str,  # noqa: A002 - the word for it everywhere else
        payload: Any,
        *,
        key: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        delay_seconds: float | None = None,
    ) -> str:
        return self._wait(
            self._context.submit, type, payload, key=key, priority=priority, queue=queue, delay_seconds=delay_seconds
        )

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
    ) -> Any:
        return self.call_all([Call(type, payload, name, priority, queue, max_retries, timeout_seconds)])[0]

    def call_all(self, calls: Sequence[Call], *, return_exceptions: bool = False) -> list[Any]:
        return self._wait(self._context.call_all, calls, return_exceptions=return_exceptions)

    def sleep(self, seconds: float, *, name: str | None = None) -> None:
        self._wait(self._context.sleep, seconds, name=name)

    @contextmanager
    def lock(self, name: str) -> Iterator[int]:
        lock = self._context.lock(name)
        yield self._wait(lock.__aenter__)
        self._wait(lock.__aexit__, None, None, None)

    def artifact(
        self, name: str, data: bytes | str, *, content_type: str | None = None, bucket: Bucket = "orchestrator"
    ) -> Artifact:
        return self._wait(self._context.artifact, name, data, content_type=content_type, bucket=bucket)

    def sign(self, subscription: str | None, event_id: str, body: bytes) -> Signed:
        return self._wait(self._context.sign, subscription, event_id, body)

    def generate(self, name: str, request: ModelRequest) -> ModelReply:
        return self._wait(self._context.generate, name, request)

    def _wait(self, call: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any) -> T:
        self._context.telling.check_open()  # before the loop is asked: it may be gone as well
        try:
            return asyncio.run_coroutine_threadsafe(call(*args, **kwargs), self._loop).result()
        except concurrent.futures.CancelledError:
            raise Interrupted from None


class BlockingHttp(SyncHttp):
    """The shared client, so its guard, its connections and its trace are the same for both kinds of handlers."""

    __slots__ = ("_client", "_wait")

    def __init__(self, client: httpx2.AsyncClient, wait: Callable[..., httpx2.Response]) -> None:
        self._client = client
        self._wait = wait

    def request(self, method: str, url: str, **options: Any) -> httpx2.Response:
        return self._wait(self._client.request, method, url, **options)

    get = functools.partialmethod(request, "GET")
    post = functools.partialmethod(request, "POST")
    put = functools.partialmethod(request, "PUT")
    patch = functools.partialmethod(request, "PATCH")
    delete = functools.partialmethod(request, "DELETE")
