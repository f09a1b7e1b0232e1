"""One attempt, as its handler sees it: what `orchestrator.sdk` promises, kept on a worker's bench."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.labels import check_bucket, check_name, content_type_of
from orchestrator.domain.steps import Step, StepKind, Wait
from orchestrator.domain.subscription import Signed
from orchestrator.domain.task import Claim
from orchestrator.sdk import Artifact, Call, Config, Context, ModelReply, ModelRequest, Terminal
from orchestrator.sdk.artifact import Bucket
from orchestrator.worker.bench import Bench, Submission
from orchestrator.worker.calls import Calls
from orchestrator.worker.encoding import clean, decode_step, encode_json, encode_step
from orchestrator.worker.lock import Lock
from orchestrator.worker.replies import read_reply
from orchestrator.worker.telling import Telling
from orchestrator.worker.waits import Waits, inside

if TYPE_CHECKING:
    import httpx2

LONGEST_STEP_NAME = 200


class AttemptContext(Context):
    """Made when an attempt starts, closed when it ends. Use it on the loop's thread."""

    __slots__ = (
        "_answered", "_calls", "_kept", "_loading", "_running", "_submitted", "bench", "claim", "locks", "lost",
        "started_at", "telling", "waits",
    )  # fmt: skip

    def __init__(self, claim: Claim, bench: Bench, started_at: datetime | None = None) -> None:
        self.claim = claim
        self.bench = bench
        self.started_at = started_at or bench.clock.now()
        self.telling = Telling(claim, bench)
        self.lost = False
        """A write was refused for a newer fence: nothing of this attempt counts any more."""
        self.waits = Waits(bench.gather_seconds)
        self._calls: Calls | None = None
        self._kept: dict[str, Step] | None = None
        self._loading: asyncio.Lock | None = None
        self._running: set[str] = set()
        self.locks: set[str] = set()
        """Those whose blocks it is in."""
        self._answered: set[str] = set()
        """The names that stood for something in this attempt."""
        self._submitted: dict[str, int] = {}
        """How often this attempt submitted each."""

    @property
    def task_id(self) -> TaskId:
        return self.claim.entry.id

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def fence(self) -> Fence:
        return self.claim.fence

    @property
    def cancelled(self) -> bool:
        return self.lost or self.telling.closed

    @property
    def deadline(self) -> datetime:
        return self.started_at + timedelta(seconds=self.claim.entry.timeout_seconds)

    @property
    def config(self) -> Config:
        return self.bench.config

    @property
    def calls(self) -> Calls:
        self._calls = self._calls or Calls(self)
        return self._calls

    @property
    def http(self) -> httpx2.AsyncClient:
        self.telling.check_open()
        return self.bench.http()

    async def log(self, text: str, /, **fields: Any) -> None:
        self.telling.log(text, fields)
        await self.bench.journal.room()

    async def progress(self, fraction: float, text: str = "") -> None:
        self.telling.progress(fraction, text)
        await self.bench.journal.room()

    async def token(self, text: str) -> None:
        self.telling.token(text)
        await self.bench.journal.room()

    async def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        with self.one_at_a_time(name), self.waits.acting():
            kept = await self.finished(name)
            if kept is None:
                with inside(name):
                    value = await self._done(fn, *args, **kwargs)
                kept = await self.keep(name, value)
            self.take_name(name)
        return decode_step(kept)

    async def _done(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if inspect.iscoroutinefunction(fn):
            return await fn(*args, **kwargs)
        value = await self.bench.threads.run(functools.partial(fn, *args, **kwargs))
        return await value if inspect.isawaitable(value) else value  # a lambda around an async call

    @contextmanager
    def one_at_a_time(self, name: str) -> Iterator[None]:
        """Hold a step's name while it runs.

        Raises RuntimeError when it is held, Terminal when it has answered in this attempt, ValueError for no name.
        """
        self.check_name(name)
        if name in self._running:
            raise RuntimeError(f"the step {name!r} is still running: give each step its own name")
        self.check_unanswered(name)
        self._running.add(name)
        try:
            yield
        finally:
            self._running.discard(name)

    def take_name(self, name: str) -> None:
        """Let a name stand for something in this attempt. Raises Terminal when it does already."""
        self.check_unanswered(name)
        self._answered.add(name)

    def check_unanswered(self, name: str) -> None:
        """Raises Terminal for a name that stood for something in this attempt: a loop has to number them."""
        if name in self._answered:
            raise Terminal(f"the name {name!r} was used before in this attempt: give each step and call its own")

    def check_name(self, name: str) -> None:
        """Raises ValueError when it cannot name a step, a call or a lock."""
        if not isinstance(name, str) or not name or len(name) > LONGEST_STEP_NAME or clean(name) != name:
            raise ValueError(f"a name is text of 1 to {LONGEST_STEP_NAME} characters, not {name!r:.300}")

    async def recall(self, name: str) -> Step | None:
        """Return what is kept under a name."""
        self.telling.check_open()
        if self._kept is None:
            self._loading = self._loading or asyncio.Lock()
            async with self._loading:  # those that begin side by side ask once
                if self._kept is None:
                    self._kept = dict(await self.bench.steps.load(self.claim))
        return self._kept.get(name)

    def remember(self, steps: Mapping[str, Step]) -> None:
        """Keep in mind what was begun."""
        self._kept = (self._kept or {}) | dict(steps)

    async def finished(self, name: str) -> bytes | None:
        """Return the JSON result of a finished step. Raises RuntimeError for the name of a call or a sleep."""
        kept = await self.recall(name)
        if kept is not None and kept.kind is not StepKind.STEP:
            raise RuntimeError(f"the name {name!r} is a {kept.kind}'s already: give the step another")
        return None if kept is None else kept.result

    async def keep(self, name: str, value: Any) -> bytes:
        """Store a step's result and return its JSON. Raises LeaseLost when a newer fence exists."""
        self.telling.check_open()
        result = encode_step(value, f"the result of the step {name!r}", self.bench.max_result_bytes)
        if not await self.bench.steps.save(self.claim, name, result):
            self.lost = True
            raise LeaseLost(self.task_id, self.fence)
        if self._kept is not None:
            self._kept[name] = Step(name, result)
        return result

    async def submit(
        self,
        type: str,  # noqa: A002 - the word for it everywhere else
        payload: Any,
        *,
        key: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        delay_seconds: float | None = None,
    ) -> TaskId:
        self.telling.check_open()
        payload = orjson.loads(encode_json(payload, f"the payload of a submitted {type!r}"))
        key = key or self._derived_key([type, payload, priority, queue, delay_seconds])
        submission = Submission(type, payload, key, priority, queue, delay_seconds)
        with self.waits.acting():
            return await self.bench.submit(self.claim, submission)

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
        return (await self.call_all([Call(type, payload, name, priority, queue, max_retries, timeout_seconds)]))[0]

    async def call_all(self, calls: Sequence[Call], *, return_exceptions: bool = False) -> list[Any]:
        self.telling.check_open()
        answers = await self.calls.call(calls)
        failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if failed is not None and not return_exceptions:
            raise failed
        return answers

    async def sleep(self, seconds: float, *, name: str | None = None) -> None:
        self.telling.check_open()
        await self.calls.sleep(seconds, name)

    def lock(self, name: str) -> Lock:
        return Lock(self, name)

    async def artifact(
        self, name: str, data: bytes | str, *, content_type: str | None = None, bucket: Bucket = "orchestrator"
    ) -> Artifact:
        self.telling.check_open()
        content = data.encode() if isinstance(data, str) else bytes(data)
        check_name(name)
        check_bucket(bucket)
        kind = content_type_of(name, content_type, text=isinstance(data, str))
        with self.waits.acting():
            return await self.bench.services.keep_artifact(self.claim, name, content, kind, bucket)

    async def sign(self, subscription: str | None, event_id: str, body: bytes) -> Signed:
        self.telling.check_open()
        with self.waits.acting():
            return await self.bench.services.sign(self.claim, subscription, event_id, body)

    async def generate(self, name: str, request: ModelRequest) -> ModelReply:
        with self.one_at_a_time(name):
            with self.waits.acting():
                kept = await self.finished(name)
                if kept is not None:
                    self.take_name(name)
                    return read_reply(kept)
                answer = await self.bench.services.generate(self.claim, name, request, self)
                if isinstance(answer, ModelReply):
                    kept = await self.keep(name, answer)
                    self.take_name(name)
                    return read_reply(kept)
            await self.note(answer.reason)
            return await self.waits.on(Wait(wake_at=answer.until, money=True))

    async def note(self, text: str) -> None:
        """Log what the system did on the handler's behalf."""
        await self.log(text, level="warning")

    async def grow(self, text: str | None) -> None:
        """Tell a piece of a model's text; None drops what was told of it."""
        if text is None:
            self.telling.drop_tokens()
        else:
            self.telling.token(text)
        await self.bench.journal.room()

    def close(self) -> None:
        """The attempt has ended: nothing more is told, nobody waits any more."""
        self.telling.close()
        self.waits.close()

    def _derived_key(self, asked: list[Any]) -> str:
        """Everything asked for is part of the key, so that a retry which asks differently meets no conflict."""
        asked_for = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode()
        number = self._submitted[asked_for] = self._submitted.get(asked_for, 0) + 1
        return self.effect_key(f"submit\n{number}\n{asked_for}")
