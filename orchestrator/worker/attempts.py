"""The attempts of one worker: each claimed task from its start to its settlement.

Two bounds: `running` counts handlers that run, which is what concurrency limits; what has finished and is not yet
committed is bounded apart, or the time of a commit would limit the rate.
"""

import asyncio
from collections.abc import Iterable, Sequence

import orjson
import structlog

from orchestrator.batching import Batcher
from orchestrator.domain.errors import DeadLetter, LeaseLost
from orchestrator.domain.events import FAILURE, EventKind, Told
from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.domain.outcome import Expired, Failed, Outcome, Released, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Settlement
from orchestrator.operations.settle import settle
from orchestrator.runtime import Runtime
from orchestrator.telemetry import logs
from orchestrator.worker.executor import Executor
from orchestrator.worker.journal import Journal
from orchestrator.worker.recorder import Recorder

_log = structlog.get_logger("orchestrator.attempts")

_SETTLE_BATCH = 500
_SETTLE_LANES = 1
_MOST_UNSETTLED = 2_000
_DEFAULT_POLICY = RetryPolicy()


class Attempts:
    """Starts attempts, stops them when they are lost or cancelled, and sees each settled."""

    def __init__(
        self, runtime: Runtime, worker: WorkerId, executor: Executor, journal: Journal, recorder: Recorder
    ) -> None:
        self._runtime = runtime
        self._worker = worker
        self._executor = executor
        self._journal = journal
        self._recorder = recorder
        recorder.on_stale = self.stop
        self._lives: dict[TaskId, asyncio.Task[None]] = {}
        self._running: dict[TaskId, asyncio.Task[None]] = {}
        self._releasing: set[TaskId] = set()
        self._settling: Batcher[Settlement, bool] = Batcher(self._settle, size=_SETTLE_BATCH, lanes=_SETTLE_LANES)
        self._moved = asyncio.Event()
        self.held: dict[TaskId, Fence] = {}
        """Every lease of this worker, running or not yet settled. The heartbeat's thread reads it."""

    def open(self) -> None:
        self._settling.start()
        self._recorder.start()

    async def close(self, grace_seconds: float) -> None:
        """Let attempts finish within the grace, give the rest back, and return when all is settled."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace_seconds)
        self.release()
        if self._lives:
            await asyncio.wait(self._lives.values())
        await self._recorder.stop()
        await self._settling.stop()

    def release(self) -> None:
        """Give back everything that runs; the attempts do not count."""
        self._releasing.update(self._running)
        self.stop(list(self._running))

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def full(self) -> bool:
        return len(self.held) - len(self._running) >= _MOST_UNSETTLED

    def tasks(self) -> tuple[TaskId, ...]:
        return tuple(self._running)

    def wake(self) -> None:
        self._moved.set()

    async def moved(self) -> None:
        """Return when a slot may have become free."""
        self._moved.clear()
        await self._moved.wait()

    def start(self, claim: Claim) -> None:
        task_id = claim.entry.id
        self.held[task_id] = claim.fence
        self._lives[task_id] = self._running[task_id] = asyncio.create_task(self._live(claim))

    def stop(self, task_ids: Iterable[TaskId]) -> None:
        """End these handlers: their lease is lost or their task was cancelled. Unknown ids are ignored."""
        for task_id in task_ids:
            attempt = self._running.get(task_id)
            if attempt is not None:
                # Not at once: a task of asyncio that is cancelled before its first step never runs, nor cleans up.
                asyncio.get_running_loop().call_soon(attempt.cancel)

    async def _live(self, claim: Claim) -> None:
        """One attempt, from claim to settlement."""
        task_id = claim.entry.id
        try:
            ending = await self._run(claim)
            await self._journal.flush(claim)
            await self._recorder.forget(claim)
            if ending is not None:
                await self._settling.submit(ending)
                self._report(ending)
        except Exception as error:  # noqa: BLE001 - one attempt must not end the worker
            # The lease runs out and the sweep gives the task to another worker.
            _log.exception("attempt_not_settled", task_id=task_id)
            self._runtime.reports.send(error, task_id=task_id)
        finally:
            self._lives.pop(task_id, None)
            self.held.pop(task_id, None)
            self._moved.set()

    async def _run(self, claim: Claim) -> Settlement | None:
        """Run the handler and return how its attempt ends; None when its result is not ours to write."""
        task_id, monotonic = claim.entry.id, self._runtime.clock.monotonic
        with self._runtime.traces.process(claim) as processing:
            started = monotonic()
            try:
                outcome = await self._outcome(claim)
            finally:
                self._running.pop(task_id, None)
                self._releasing.discard(task_id)
                self._moved.set()
            if outcome is None:
                return None
            if isinstance(outcome, Failed):
                processing.failed(outcome.error)
                self._tell_failure(claim, outcome)
            return self._decide(claim, outcome, int((monotonic() - started) * 1e6))

    async def _outcome(self, claim: Claim) -> Outcome | None:
        try:
            if claim.expired:
                return Expired()
            if not claim.settled_epoch and not await self._recorder.confirm(claim):
                return None
            if claim.settled_epoch:
                self._recorder.watch(claim)
            return await self._executor.run(claim)
        except LeaseLost:
            self._runtime.metrics.lease_lost(1)
            return None
        except asyncio.CancelledError:
            if claim.entry.id in self._releasing:
                return Released()
            _log.info("attempt_stopped", fence=claim.fence)
            return None

    def _decide(self, claim: Claim, outcome: Outcome, duration_us: int) -> Settlement:
        handler = self._runtime.handlers.get(claim.entry.type)
        policy = handler.policy if handler is not None else _DEFAULT_POLICY
        ending = decide(claim, outcome, policy, self._runtime.clock.chance(), duration_us)
        logs.note(
            "attempt_ended",
            "orchestrator.attempts",
            self._runtime.clock.now(),
            type=claim.entry.type,
            status=ending.state.value,
            attempt=claim.attempt,
            ms=duration_us // 1000,
        )
        return ending

    def _report(self, ending: Settlement) -> None:
        if ending.state is State.FAILED and ending.error is not None:
            entry, error = ending.claim.entry, ending.error
            letter = DeadLetter(f"{entry.type}: {error.type}: {error.message}")
            self._runtime.reports.send(letter, task_id=entry.id, fingerprint=error.fingerprint)

    def _tell_failure(self, claim: Claim, outcome: Failed) -> None:
        """The history says why an attempt failed, also when a later one succeeds."""
        text = f"attempt {claim.attempt} failed: {outcome.error.type}: {outcome.error.message}"
        body = {"text": text, "fields": {"level": "error"}}
        self._journal.append(
            Told(
                task_id=claim.entry.id,
                tenant=claim.entry.tenant,
                fence=claim.fence,
                number=FAILURE,
                kind=EventKind.LOG,
                data=orjson.dumps(body),
                at=self._runtime.clock.now(),
            )
        )

    async def _settle(self, endings: Sequence[Settlement]) -> list[bool | Exception]:
        return list(await settle(self._runtime, self._worker, endings))
