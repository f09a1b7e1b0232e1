"""Testing handlers: no server, no network, no waiting for clocks.

`run_task` runs one attempt as a worker would, payload check, timeout and verdict included, and returns what became
of it:

    >>> from pydantic import BaseModel
    >>> from orchestrator.sdk import Context, Retry, task
    >>> from orchestrator.testing import run_task

    >>> class Resize(BaseModel):
    ...     url: str
    ...     width: int = 640

    >>> async def fetch(url: str) -> str:
    ...     return "pixels"

    >>> @task("resize")
    ... async def resize(payload: Resize, ctx: Context) -> dict:
    ...     await ctx.log("fetching", url=payload.url)
    ...     image = await ctx.step("fetch", fetch, payload.url)
    ...     await ctx.progress(0.5, "fetched")
    ...     if payload.width > 2000 and ctx.attempt < 3:
    ...         raise Retry("the resizer is busy", after=30)
    ...     await ctx.submit("notify", {"size": len(image)})
    ...     return {"size": len(image)}

    >>> run = run_task(resize, {"url": "http://example.com/cat.png"})
    >>> run.result
    {'size': 6}
    >>> run.logs
    [Logged(text='fetching', fields={'url': 'http://example.com/cat.png'})]
    >>> run.progress
    [Progress(fraction=0.5, text='fetched')]
    >>> run.steps
    {'fetch': 'pixels'}
    >>> run.submitted[0].type, run.submitted[0].payload
    ('notify', {'size': 6})

    >>> failed = run_task(resize, {"url": "http://example.com/cat.png", "width": 4000})
    >>> failed.error.type, failed.error.retryable, failed.retry_after_seconds
    ('Retry', True, 30)
    >>> run_task(resize, {"url": "...", "width": 4000}, attempt=3, steps=failed.steps).result
    {'size': 6}

    >>> run_task(resize, {"width": "wide"}).error.message
    "the payload does not fit 'resize': /payload/url: Field required; /payload/width: Input should be a valid integer, unable to parse string as an integer"

In an async test write `run = await run_task(...)`. To meet a handler's exceptions themselves, call an async handler
with a `FakeContext`: `await resize(Resize(url="..."), FakeContext())`. A handler that calls out gets a client that
answers from the test: `run_task(..., http=httpx2.AsyncClient(transport=httpx2.MockTransport(answer)))`.
"""  # noqa: E501 - what doctest compares stands on one line

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import httpx2
import orjson

from orchestrator.discovery import Handlers
from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import DEFAULT_TENANT, Fence, TaskId, WorkerId, task_id
from orchestrator.domain.outcome import Failed, Succeeded
from orchestrator.domain.task import DEFAULT_QUEUE, Claim, Entry, TaskError
from orchestrator.sdk import Config, Handler
from orchestrator.worker.bench import Bench, Submission
from orchestrator.worker.context import AttemptContext
from orchestrator.worker.encoding import encode_json
from orchestrator.worker.executor import Executor

_MAX_RESULT_BYTES = 2**20
_START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Time that moves when a test says so, and chance that always falls the same way."""

    def __init__(self, start: datetime = _START, chance: float = 0.5) -> None:
        self._now = start
        self._start = start
        self._chance = chance
        self._made = 0

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def chance(self) -> float:
        return self._chance

    def stamp(self) -> datetime:
        self._now += timedelta(microseconds=1)
        return self._now

    def task_id(self) -> TaskId:
        self._made += 1
        return task_id(int(self._now.timestamp() * 1000), self._made)

    def traceparent(self) -> str:
        self._made += 1
        return f"00-{self._made:032x}-{self._made:016x}-00"


@dataclass(frozen=True, slots=True)
class Logged:
    text: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    fraction: float
    text: str


class Record:
    """What an attempt told, kept and submitted, in order."""

    def __init__(self, clock: FakeClock, steps: Mapping[str, Any]) -> None:
        self.submitted: list[Submission] = []
        """The tasks it handed in: `type`, `payload`, `key` and the options."""
        self._clock = clock
        self._told: list[tuple[EventKind, dict[str, Any]]] = []
        self._kept = {name: encode_json(value, f"the step {name!r}") for name, value in steps.items()}

    @property
    def logs(self) -> list[Logged]:
        return [Logged(**content) for kind, content in self._told if kind is EventKind.LOG]

    @property
    def progress(self) -> list[Progress]:
        return [Progress(**content) for kind, content in self._told if kind is EventKind.PROGRESS]

    @property
    def tokens(self) -> str:
        """All of them, joined: how they travelled depends on time."""
        return "".join(content["text"] for kind, content in self._told if kind is EventKind.TOKEN)

    @property
    def steps(self) -> dict[str, Any]:
        """The finished steps, those it was given included."""
        return {name: orjson.loads(result) for name, result in self._kept.items()}

    def append(self, told: Told) -> None:
        self._told.append((told.kind, orjson.loads(told.data)))

    async def room(self) -> None:
        return

    async def load(self, task_id: TaskId) -> Mapping[str, bytes]:
        return self._kept

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        self._kept[name] = result
        return True

    async def submit(self, claim: Claim, submission: Submission) -> TaskId:
        self.submitted.append(submission)
        return self._clock.task_id()
