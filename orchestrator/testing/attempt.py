"""One attempt in a test: the worker's own executor over a bench that is all memory."""

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import httpx2
import orjson

from orchestrator.clock import Clock
from orchestrator.discovery import Handlers
from orchestrator.domain.ids import DEFAULT_TENANT, Fence, WorkerId
from orchestrator.domain.outcome import Failed, Outcome, Succeeded
from orchestrator.domain.task import DEFAULT_QUEUE, Claim, Entry, TaskError
from orchestrator.sdk import Config, Handler
from orchestrator.testing.clock import FakeClock
from orchestrator.testing.record import Logged, Progress, Record
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
        clock: Clock | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        clock = clock or FakeClock()
        self.record = Record(clock, steps or {})
        bench = _bench(self.record, clock, config, http)
        super().__init__(_claim("fake", b"{}", attempt, timeout_seconds, clock), bench)


class TaskRun:
    """What became of one attempt. In an async test it has to be awaited first."""

    def __init__(self, handler: Handler, claim: Claim, bench: Bench, record: Record) -> None:
        self._handler = replace(handler, isolation=None)
        self._claim = claim
        self._bench = bench
        self._record = record
        self._outcome: Outcome | None = None

    def __await__(self) -> Generator[Any, Any, "TaskRun"]:
        if self._outcome is None:
            try:
                executor = Executor(Handlers([self._handler]), self._bench)
                self._outcome = yield from executor.run(self._claim).__await__()
            finally:
                self._bench.threads.close()
        return self

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
        return self._record.submitted


def run_task(
    handler: Handler,
    payload: Any,
    *,
    attempt: int = 1,
    steps: Mapping[str, Any] | None = None,
    config: Mapping[str, str] | None = None,
    http: httpx2.AsyncClient | None = None,
    clock: Clock | None = None,
    timeout_seconds: float | None = None,
) -> TaskRun:
    """Run one attempt of a handler and return what became of it.

    `payload` is a JSON value or the handler's model; `steps` are the results of steps that finished in an earlier
    attempt; `config` is all that the handler finds in its configuration. The timeout is the handler's own and passes
    in real time. A handler with a process of its own runs in this one.
    """
    clock = clock or FakeClock()
    record = Record(clock, steps or {})
    seconds = timeout_seconds or handler.timeout_seconds or _TIMEOUT_SECONDS
    claim = _claim(handler.name, encode_json(payload, "the payload"), attempt, seconds, clock)
    run = TaskRun(handler, claim, _bench(record, clock, config, http), record)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_finish(run))
    return run


async def _finish(run: TaskRun) -> TaskRun:
    return await run


def _claim(name: str, payload: bytes, attempt: int, timeout_seconds: float, clock: Clock) -> Claim:
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


def _bench(record: Record, clock: Clock, config: Mapping[str, str] | None, http: httpx2.AsyncClient | None) -> Bench:
    def client() -> httpx2.AsyncClient:
        return http if http is not None else _no_client()

    return Bench(
        clock=clock,
        journal=record,
        steps=record,
        submit=record.submit,
        http=client,
        config=Config(dict(config or {})),
        max_result_bytes=_MAX_RESULT_BYTES,
        token_join_seconds=0.0,
    )


def _no_client() -> NoReturn:
    raise RuntimeError("the handler calls out: give the test a client, run_task(..., http=httpx2.AsyncClient(...))")
