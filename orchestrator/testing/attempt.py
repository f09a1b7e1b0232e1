"""One attempt in a test: the worker's own executor over a bench that is all memory."""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import httpx2
import orjson

from orchestrator.discovery import Handlers
from orchestrator.domain.ids import DEFAULT_TENANT, Fence, WorkerId
from orchestrator.domain.outcome import Failed, Outcome, Parked, Succeeded
from orchestrator.domain.task import DEFAULT_QUEUE, Claim, Entry, TaskError
from orchestrator.sdk import Artifact, Call, ChildFailed, Config, Handler, ModelRequest
from orchestrator.testing.clock import FakeClock
from orchestrator.testing.outside import Outside, Script
from orchestrator.testing.record import Answer, Logged, Progress, Record
from orchestrator.worker.bench import Bench, Submission
from orchestrator.worker.context import AttemptContext
from orchestrator.worker.encoding import encode_json
from orchestrator.worker.executor import Executor

_MAX_RESULT_BYTES = 2**20
_TIMEOUT_SECONDS = 900.0


class FakeContext(AttemptContext):
    """A context for calling an async handler directly, so that its exceptions reach the test.

    What the handler did stands in `record`: logs, progress, tokens, steps, submitted.
    """

    def __init__(
        self,
        *,
        attempt: int = 1,
        steps: Mapping[str, Any] | None = None,
        config: Mapping[str, str] | None = None,
        http: httpx2.AsyncClient | None = None,
        clock: FakeClock | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        children: Mapping[str, Answer] | None = None,
        models: Script = (),
    ) -> None:
        clock = clock or FakeClock()
        self.record = Record(clock, steps or {}, children)
        self.outside = Outside(self.record, clock, models)
        bench = _bench(self.record, self.outside, clock, config, http)
        super().__init__(_claim("fake", b"{}", attempt, timeout_seconds, clock), bench)
        self._clock = clock

    async def call_all(self, calls: Sequence[Call], *, return_exceptions: bool = False) -> list[Any]:
        """Children end at once."""
        answers = [self.record.call(call) for call in calls]
        failed = next((answer for answer in answers if isinstance(answer, ChildFailed)), None)
        if failed is not None and not return_exceptions:
            raise failed
        return answers

    async def sleep(self, seconds: float, *, name: str | None = None) -> None:
        """Time passes at once."""
        self._clock.advance(seconds)


class TaskRun:
    """What became of one attempt. In an async test it has to be awaited first."""

    def __init__(
        self, handler: Handler, claim: Claim, bench: Bench, record: Record, outside: Outside, clock: FakeClock
    ) -> None:
        self._handler = replace(handler, isolation=None)
        self._claim = claim
        self._bench = bench
        self._record = record
        self._outside = outside
        self._clock = clock
        self._outcome: Outcome | None = None

    def __await__(self) -> Generator[Any, Any, "TaskRun"]:
        if self._outcome is None:
            try:
                executor = Executor(Handlers([self._handler]), self._bench)
                yield from self._run(executor).__await__()
            finally:
                self._bench.threads.close()
        return self

    async def _run(self, executor: Executor) -> None:
        """Run it until it ends: a wait is over at once, and one that was killed is an attempt more."""
        while self._outcome is None:
            outcome = await executor.run(self._claim)
            if self._record.killed:
                self._record.revive()
                number = self._claim.attempt + 1
                self._claim = replace(self._claim, fence=Fence(self._claim.fence + 1), attempt=number)
            elif not isinstance(outcome, Parked):
                self._outcome = outcome
            elif outcome.wait.wake_at is not None and not outcome.wait.children:
                self._clock.advance(max(0.0, (outcome.wait.wake_at - self._clock.now()).total_seconds()))

    def __repr__(self) -> str:
        return f"TaskRun(result={self.result!r}, error={self.error!r})"

    @property
    def outcome(self) -> Outcome:
        if self._outcome is None:
            raise RuntimeError("in an async test write: run = await run_task(...)")
        return self._outcome

    @property
    def result(self) -> Any:
        """The result as JSON gives it back; None after a failure."""
        return orjson.loads(self.outcome.result) if isinstance(self.outcome, Succeeded) else None

    @property
    def error(self) -> TaskError | None:
        """Why it failed: `type`, `message`, `retryable`, `fingerprint`; None after a success."""
        return self.outcome.error if isinstance(self.outcome, Failed) else None

    @property
    def retry_after_seconds(self) -> float | None:
        """The wait the handler or the other side asked for; None leaves it to the backoff."""
        return self.outcome.retry_after_seconds if isinstance(self.outcome, Failed) else None

    @property
    def logs(self) -> list[Logged]:
        return self._record.logs

    @property
    def progress(self) -> list[Progress]:
        return self._record.progress

    @property
    def tokens(self) -> list[str]:
        return self._record.tokens

    @property
    def steps(self) -> dict[str, Any]:
        return self._record.steps

    @property
    def submitted(self) -> list[Submission]:
        """The tasks it handed in, and those it called."""
        return self._record.submitted

    @property
    def artifacts(self) -> list[tuple[Artifact, bytes]]:
        """The files it stored, by name the last."""
        return self._outside.artifacts

    @property
    def requests(self) -> list[ModelRequest]:
        """What it asked models."""
        return self._outside.requests

    @property
    def boundaries(self) -> int:
        """How many places there were at which `kill_at` can end an attempt."""
        return self._record.boundaries


def run_task(
    handler: Handler,
    payload: Any,
    *,
    attempt: int = 1,
    steps: Mapping[str, Any] | None = None,
    config: Mapping[str, str] | None = None,
    http: httpx2.AsyncClient | None = None,
    clock: FakeClock | None = None,
    timeout_seconds: float | None = None,
    children: Mapping[str, Answer] | None = None,
    models: Script = (),
    kill_at: int | None = None,
) -> TaskRun:
    """Run one attempt of a handler and return what became of it.

    `payload` is a JSON value or the handler's model; `steps` are the results of steps that finished in an earlier
    attempt; `config` is all that the handler finds in its configuration. The timeout is the handler's own and passes
    in real time. A handler with a process of its own runs in this one.

    A sleep passes at once, on the clock of the test. `children` are the results of the tasks it calls, by type: a
    value, a function of the payload, or an exception. `models` are the answers of models, in their order, or a
    function of the request. With `kill_at` the attempt dies, as by `kill -9`, at the n-th of the run's `boundaries`
    (each before or behind something that is kept), and the task is run again from what was kept.
    """
    clock = clock or FakeClock()
    record = Record(clock, steps or {}, children, kill_at)
    outside = Outside(record, clock, models)
    seconds = timeout_seconds or handler.timeout_seconds or _TIMEOUT_SECONDS
    claim = _claim(handler.name, encode_json(payload, "the payload"), attempt, seconds, clock)
    run = TaskRun(handler, claim, _bench(record, outside, clock, config, http), record, outside, clock)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_finish(run))
    return run


async def _finish(run: TaskRun) -> TaskRun:
    return await run


def _claim(name: str, payload: bytes, attempt: int, timeout_seconds: float, clock: FakeClock) -> Claim:
    entry = Entry(
        id=clock.task_id(),
        tenant=DEFAULT_TENANT,
        type=name,
        queue=DEFAULT_QUEUE,
        priority=5,
        payload=payload,
        max_retries=6,
        timeout_seconds=timeout_seconds,
        traceparent=clock.traceparent(),
    )
    return Claim(
        entry=entry,
        fence=Fence(attempt),
        attempt=attempt,
        worker=WorkerId("test"),
        claimed_at_us=int(clock.now().timestamp() * 1e6),
        waited_us=0,
        settled_epoch=True,
    )


def _bench(
    record: Record,
    outside: Outside,
    clock: FakeClock,
    config: Mapping[str, str] | None,
    http: httpx2.AsyncClient | None,
) -> Bench:
    def client() -> httpx2.AsyncClient:
        return http if http is not None else _no_client()

    return Bench(
        clock=clock,
        journal=record,
        steps=record,
        submit=record.submit,
        services=outside,
        http=client,
        config=Config(dict(config or {})),
        max_result_bytes=_MAX_RESULT_BYTES,
        token_join_seconds=0.0,
        gather_seconds=0.0,
    )


def _no_client() -> NoReturn:
    raise RuntimeError("the handler calls out: give the test a client, run_task(..., http=httpx2.AsyncClient(...))")
