"""One attempt, as its handler sees it: what `orchestrator.sdk` promises, kept on a worker's bench."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.task import Claim
from orchestrator.sdk import Config, Context
from orchestrator.worker.bench import Bench, Submission
from orchestrator.worker.encoding import clean, encode_json, encode_result
from orchestrator.worker.telling import Telling

if TYPE_CHECKING:
    import httpx2

LONGEST_STEP_NAME = 200


class AttemptContext(Context):
    """Made when an attempt starts, closed when it ends. Use it on the loop's thread."""

    __slots__ = ("_finished", "_running", "_submitted", "bench", "claim", "lost", "started_at", "telling")

    def __init__(self, claim: Claim, bench: Bench, started_at: datetime | None = None) -> None:
        self.claim = claim
        self.bench = bench
        self.started_at = started_at or bench.clock.now()
        self.telling = Telling(claim, bench)
        self.lost = False
        """A write was refused for a newer fence: nothing of this attempt counts any more."""
        self._finished: dict[str, bytes] | None = None
        self._running: set[str] = set()
        self._submitted: Counter[str] = Counter()

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
        with self.one_at_a_time(name):
            kept = await self.recall(name)
            if kept is None:
                if inspect.iscoroutinefunction(fn):
                    value = await fn(*args, **kwargs)
                else:
                    value = await self.bench.threads.run(functools.partial(fn, *args, **kwargs))
                    if inspect.isawaitable(value):  # a lambda around an async call
                        value = await value
                kept = await self.keep(name, value)
        return orjson.loads(kept)

    @contextmanager
    def one_at_a_time(self, name: str) -> Iterator[None]:
        """Hold a step's name while it runs. Raises RuntimeError when it is held, ValueError when it is no name."""
        if not isinstance(name, str) or not name or len(name) > LONGEST_STEP_NAME or clean(name) != name:
            raise ValueError(f"a step's name is text of 1 to {LONGEST_STEP_NAME} characters, not {name!r:.300}")
        if name in self._running:
            raise RuntimeError(f"the step {name!r} is still running: give each step its own name")
        self._running.add(name)
        try:
            yield
        finally:
            self._running.discard(name)

    async def recall(self, name: str) -> bytes | None:
        """Return the JSON result of a finished step."""
        self.telling.check_open()
        if self._finished is None:
            loaded = dict(await self.bench.steps.load(self.task_id))
            self._finished = self._finished or loaded  # another step may have loaded them meanwhile
        return self._finished.get(name)

    async def keep(self, name: str, value: Any) -> bytes:
        """Store a step's result and return its JSON. Raises LeaseLost when a newer fence exists."""
        self.telling.check_open()
        result = encode_result(value, f"the result of the step {name!r}", self.bench.max_result_bytes)
        if not await self.bench.steps.save(self.claim, name, result):
            self.lost = True
            raise LeaseLost(self.task_id, self.fence)
        if self._finished is not None:
            self._finished[name] = result
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
        return await self.bench.submit(self.claim, submission)

    def _derived_key(self, asked: list[Any]) -> str:
        """Everything asked for is part of the key, so that a retry which asks differently meets no conflict."""
        asked_for = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS).decode()
        self._submitted[asked_for] += 1
        return self.effect_key(f"submit\n{self._submitted[asked_for]}\n{asked_for}")
