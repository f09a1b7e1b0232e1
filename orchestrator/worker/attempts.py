"""The attempts of one worker: each claimed task from its start to its settlement.

Two bounds: `running` counts handlers that run, which is what concurrency limits; what has finished and is not yet
committed is bounded apart, or the time of a commit would limit the rate. Deliveries are bounded apart, see `lane`.

While attempts are brisk, as many more tasks as may run are claimed ahead and kept ready, so that no slot waits for a
round trip. One that is not begun within a second after all is given back, for others to run.

Attempts go by their fences: one that is stopped may still unwind when its task is claimed here again. The lease is
the newer one's then, and the older one is stopped.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence

import structlog

from orchestrator.batching import Batcher
from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.domain.outcome import Expired, Failed, Outcome, Released, Unbegun
from orchestrator.domain.retry import is_suspect
from orchestrator.domain.subscription import DELIVERIES
from orchestrator.domain.task import Claim, Settlement
from orchestrator.operations.park import park
from orchestrator.operations.settle import settle
from orchestrator.runtime import Runtime
from orchestrator.worker.ending import end, report
from orchestrator.worker.executor import Executor
from orchestrator.worker.failure import told_failure
from orchestrator.worker.journal import Journal
from orchestrator.worker.pace import Pace
from orchestrator.worker.recorder import Recorder
from orchestrator.worker.shares import DELIVERIES_AT_ONCE, Shares

_log = structlog.get_logger("orchestrator.attempts")

_SETTLE_BATCH = 500
_SETTLE_LANES = 1
_MOST_UNSETTLED = 800
_READY_SECONDS = 1.0


class Attempts:
    """Starts attempts, stops them when they are lost or cancelled, and sees each settled."""

    def __init__(
        self,
        runtime: Runtime,
        worker: WorkerId,
        executor: Executor,
        journal: Journal,
        recorder: Recorder,
        concurrency: int,
    ) -> None:
        self._runtime = runtime
        self._concurrency = concurrency
        self._worker = worker
        self._executor = executor
        self._journal = journal
        self._recorder = recorder
        recorder.on_stale = self.stop
        self._lives: dict[Fence, asyncio.Task[None]] = {}
        self._running: dict[Fence, TaskId] = {}
        self._delivering: set[Fence] = set()  # of the running
        self._shares = Shares(runtime.clock, runtime.vault)
        self._ready: deque[tuple[float, Claim]] = deque()
        """Claimed ahead, and since when."""
        self._pace = Pace()
        self._stopped: dict[Fence, bool] = {}
        """Those of the running that were told to end, and whether they are given back."""
        self._settling: Batcher[Settlement, bool] = Batcher(self._settle, size=_SETTLE_BATCH, lanes=_SETTLE_LANES)
        self._moved = asyncio.Event()
        self.held: dict[TaskId, Fence] = {}
        """Every lease of this worker, running or not yet settled, the newest of each task. The heartbeat reads it."""

    def open(self) -> None:
        self._settling.start()
        self._recorder.start()

    async def close(self, grace_seconds: float) -> None:
        """Let attempts finish within the grace, give the rest back, and return when all is settled."""
        self._give_back(waited_seconds=0.0)
        if self._running:
            await asyncio.wait([self._lives[fence] for fence in self._running], timeout=grace_seconds)
        self.release()
        if self._lives:
            await asyncio.wait(self._lives.values())
        await self._recorder.stop()
        await self._settling.stop()

    def release(self) -> None:
        """Give back everything that runs; the attempts do not count. Called again, it cuts their clean-ups short."""
        for fence in self._running:
            self._stopped.setdefault(fence, True)
            asyncio.get_running_loop().call_soon(self._cancel, fence)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def brisk(self) -> bool:
        return self._pace.brisk

    @property
    def room(self) -> int:
        """How many more tasks to claim now; none while too much waits for its commit."""
        if len(self._lives) - len(self._running) >= _MOST_UNSETTLED:
            return 0
        ahead = self._concurrency if self._pace.brisk else 0
        return self._free + ahead - len(self._ready)

    @property
    def room_to_deliver(self) -> int:
        """How many more deliveries to claim now."""
        unsettled = len(self._lives) - len(self._running)
        return 0 if unsettled >= _MOST_UNSETTLED else DELIVERIES_AT_ONCE - len(self._delivering)

    @property
    def _free(self) -> int:
        """Slots that no task runs in."""
        return self._concurrency - (len(self._running) - len(self._delivering))

    def tasks(self) -> tuple[TaskId, ...]:
        """What runs now. The heartbeat's thread asks: a copy is made at one go, an iteration is not."""
        return tuple(self._running.copy().values())

    def wake(self) -> None:
        self._moved.set()

    async def moved(self) -> None:
        """Return when a slot may have become free."""
        self._moved.clear()
        await self._moved.wait()

    def start(self, claim: Claim) -> None:
        """Begin the attempt, or keep it ready until a slot is free."""
        task_id, fence = claim.entry.id, claim.fence
        older = self.held.get(task_id)
        if older is not None:
            self.stop((older,))
        self.held[task_id] = fence
        delivers = claim.entry.queue == DELIVERIES and self.room_to_deliver > 0
        if delivers:
            self._delivering.add(fence)
        if delivers or self._free > 0:
            self._begin(claim)
            return
        if not self._ready:
            asyncio.get_running_loop().call_later(_READY_SECONDS, self._give_back, _READY_SECONDS)
        self._ready.append((self._runtime.clock.monotonic(), claim))

    def _begin(self, claim: Claim) -> None:
        self._running[claim.fence] = claim.entry.id
        self._lives[claim.fence] = asyncio.create_task(self._live(claim))

    def _give_back(self, waited_seconds: float) -> None:
        """Return to the queue what was claimed ahead and has waited so long; look again while some is left."""
        since = self._runtime.clock.monotonic() - waited_seconds
        while self._ready and self._ready[0][0] <= since:
            _, claim = self._ready.popleft()
            self._lives[claim.fence] = asyncio.create_task(self._finish(claim, self._end(claim, Unbegun(), 0)))
        if self._ready:
            asyncio.get_running_loop().call_later(_READY_SECONDS, self._give_back, waited_seconds)

    def stop(self, fences: Iterable[Fence]) -> None:
        """End the handlers of attempts whose lease is lost, each once. Those that do not run are ignored."""
        lost = set(fences)
        for claim in [claim for _, claim in self._ready if claim.fence in lost]:
            self._ready = deque(ready for ready in self._ready if ready[1] is not claim)
            self._let_go(claim)
        for fence in lost:
            if fence in self._running and fence not in self._stopped:
                self._stopped[fence] = False
                # Not at once: a task of asyncio that is cancelled before its first step never runs, nor cleans up.
                asyncio.get_running_loop().call_soon(self._cancel, fence)

    def lose(self, fences: Iterable[Fence]) -> None:
        """End attempts whose lease is another's, or could not be extended, and count those that ran."""
        lost = [fence for fence in fences if fence not in self._stopped]
        self._runtime.metrics.lease_lost(sum(fence in self._running for fence in lost))
        self.stop(lost)

    def drop(self, task_ids: Collection[TaskId]) -> None:
        """End every handler of these tasks: they were cancelled. Unknown ids are ignored."""
        running = [fence for fence, task_id in self._running.items() if task_id in task_ids]
        self.stop([*running, *(claim.fence for _, claim in self._ready if claim.entry.id in task_ids)])

    def _cancel(self, fence: Fence) -> None:
        if fence in self._running:  # else it has ended meanwhile, and its ending is on its way
            self._lives[fence].cancel()

    async def _live(self, claim: Claim) -> None:
        """One attempt, from its start to its settlement."""
        ending = None
        try:
            ending = await self._run(claim)
        except Exception as error:  # noqa: BLE001 - one attempt must not end the worker
            self._not_settled(claim, error)
        await self._finish(claim, ending)

    async def _finish(self, claim: Claim, ending: Settlement | None) -> None:
        try:
            await self._journal.flush(claim)
            await self._recorder.forget(claim)
            if ending is not None and ending.wait is not None:
                await park(self._runtime, self._worker, ending)
            elif ending is not None:
                await self._settling.submit(ending)
                report(self._runtime, ending)
        except Exception as error:  # noqa: BLE001 - nor its settlement
            self._not_settled(claim, error)
        finally:
            del self._lives[claim.fence]
            self._let_go(claim)

    def _not_settled(self, claim: Claim, error: Exception) -> None:
        """The lease runs out, and the sweep gives the task to another worker."""
        _log.error("attempt_not_settled", task_id=claim.entry.id, exc_info=error)
        self._runtime.reports.send(error, task_id=claim.entry.id)

    def _let_go(self, claim: Claim) -> None:
        if self.held.get(claim.entry.id) == claim.fence:
            del self.held[claim.entry.id]
        self._moved.set()

    async def _run(self, claim: Claim) -> Settlement | None:
        """Run the handler and return how its attempt ends; None when its result is not ours to write."""
        monotonic = self._runtime.clock.monotonic
        with self._runtime.traces.process(claim) as processing:
            started = monotonic()
            try:
                outcome = await self._outcome(claim)
            finally:
                del self._running[claim.fence]
                delivered = claim.fence in self._delivering
                self._delivering.discard(claim.fence)
                self._shares.leave(claim.fence)
                self._stopped.pop(claim.fence, None)
                if self._ready and self._free > 0:
                    self._begin(self._ready.popleft()[1])
                self._moved.set()
            if outcome is None:
                return None
            if isinstance(outcome, Failed):
                processing.failed(outcome.error)
                self._journal.append(told_failure(claim, outcome.error, self._runtime.clock.now()))
            duration_us = int((monotonic() - started) * 1e6)
            if not delivered:
                self._pace.note(duration_us)
            return self._end(claim, outcome, duration_us)

    async def _outcome(self, claim: Claim) -> Outcome | None:
        try:
            if claim.expired:
                return Expired()
            if claim.fence in self._delivering and (crowded := await self._shares.enter(claim)):
                return crowded
            if not claim.settled_epoch and not await self._recorder.confirm(claim):
                return None
            if claim.settled_epoch and not is_suspect(claim.entry.crashes):
                self._recorder.watch(claim)
            return await self._executor.run(claim)
        except LeaseLost:
            if claim.fence not in self._stopped:  # else it was counted when that was found out
                self._runtime.metrics.lease_lost(1)
            return None
        except asyncio.CancelledError:
            if self._stopped.get(claim.fence):
                return Released()
            _log.info("attempt_stopped", fence=claim.fence)
            return None

    def _end(self, claim: Claim, outcome: Outcome, duration_us: int) -> Settlement:
        return end(self._runtime, claim, outcome, duration_us, self._journal.progress(claim))

    async def _settle(self, endings: Sequence[Settlement]) -> list[bool | Exception]:
        return list(await settle(self._runtime, self._worker, endings))
