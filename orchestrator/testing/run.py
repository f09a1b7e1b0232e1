"""A task in a test: the worker's own executor over a bench that is all memory."""

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import orjson

from orchestrator.discovery import Handlers
from orchestrator.domain.ids import Fence
from orchestrator.domain.outcome import Failed, Outcome, Parked, Succeeded
from orchestrator.domain.task import Claim, TaskError
from orchestrator.sdk import Artifact, Handler, ModelRequest
from orchestrator.testing.bench import TIMEOUT_SECONDS, bench_of, claim_of
from orchestrator.testing.clock import FakeClock
from orchestrator.testing.outside import Outside, Script
from orchestrator.testing.record import Answer, Logged, Progress, Record
from orchestrator.worker.bench import Bench, Submission
from orchestrator.worker.encoding import encode_json
from orchestrator.worker.executor import Executor


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
    """Run a task until it ends and return what became of it; what it waits for has come at once.

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
    seconds = timeout_seconds or handler.timeout_seconds or TIMEOUT_SECONDS
    claim = claim_of(handler.name, encode_json(payload, "the payload"), attempt, seconds, clock)
    run = TaskRun(handler, claim, bench_of(record, outside, clock, config, http), record, outside, clock)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_finish(run))
    return run


async def _finish(run: TaskRun) -> TaskRun:
    return await run
