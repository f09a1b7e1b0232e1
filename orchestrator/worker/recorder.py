"""The running record: attempts that last are written to Postgres while they run.

Most attempts are over in milliseconds and are recorded once, at their end. What still runs after RECORD_AFTER is
recorded in batches, and an attempt that tells something is recorded before its first event is: whoever reads an
event in the history finds the run it belongs to. A refused record means that the attempt is stale, and stops it.

Attempts go by their fences: one that still unwinds and its task's next one may be here at the same time.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from orchestrator.batching import Batcher
from orchestrator.domain.ids import Fence, WorkerId
from orchestrator.domain.task import Claim
from orchestrator.operations.record import start
from orchestrator.runtime import Runtime
from orchestrator.worker.resting import Rests

_log = structlog.get_logger("orchestrator.recorder")

RECORD_AFTER_SECONDS = 0.2
_BATCH = 200
_REST_TIMES, _LONGEST_REST_SECONDS = 2.0, 0.1
"""Between batches that are confirmed: mostly these are tasks that a fault left behind."""


class Recorder:
    """Knows which attempts are not yet recorded, and records those that last."""

    def __init__(self, runtime: Runtime, worker: WorkerId) -> None:
        self._runtime = runtime
        self._worker = worker
        self.on_stale: Callable[[Iterable[Fence]], None] = _ignore
        """Told of attempts that Postgres refused."""
        self._watched: dict[Fence, tuple[float, Claim]] = {}
        self._writing: dict[Fence, asyncio.Future[set[Fence]]] = {}
        self._wake = asyncio.Event()
        self._lane: asyncio.Task[None] | None = None
        self._wishing: Batcher[Fence, None] = Batcher(self._record_wished, size=_BATCH, lanes=1)
        self._rests = Rests(runtime.clock, times=_REST_TIMES, longest_seconds=_LONGEST_REST_SECONDS)
        # One lane: two would let a later batch overtake an earlier one, and its tasks start before their turn.
        self._confirming: Batcher[Claim, bool] = Batcher(self._confirm, size=_BATCH, lanes=1)

    def start(self) -> None:
        self._confirming.start()
        self._wishing.start()
        self._lane = asyncio.create_task(self._record())

    async def stop(self) -> None:
        await self._confirming.stop()
        await self._wishing.stop()
        if self._lane is not None:
            self._lane.cancel()
            await asyncio.gather(self._lane, return_exceptions=True)

    def watch(self, claim: Claim) -> None:
        self._watched[claim.fence] = (self._runtime.clock.monotonic(), claim)
        if not self._wake.is_set():
            self._wake.set()

    async def forget(self, claim: Claim) -> None:
        """Stop watching; return when no record of this attempt is under way, so that its ending comes later."""
        self._watched.pop(claim.fence, None)
        writing = self._writing.get(claim.fence)
        if writing is not None:
            await asyncio.wait([writing])

    async def record(self, fences: Iterable[Fence]) -> None:
        """Return when those of these attempts that are watched are recorded, or refused."""
        watched = [self._watched[fence][1] for fence in dict.fromkeys(fences) if fence in self._watched]
        under_way = {self._writing[fence] for fence in fences if fence in self._writing}
        if watched:
            await self._record_all(watched)
        if under_way:
            await asyncio.wait(under_way)

    async def recorded(self, claim: Claim) -> None:
        """Return when an attempt that is watched is recorded, or refused; many at about the same time together."""
        if claim.fence in self._watched or claim.fence in self._writing:
            await self._wishing.submit(claim.fence)

    async def confirm(self, claim: Claim) -> bool:
        """Record an attempt before it starts; False when the task is final or another holds a newer fence.

        For tasks that Postgres put in the queue, or that were queued under an earlier epoch: Redis may have forgotten
        that they ended. And for those that were started in the outbox, and have to be in Postgres.
        """
        return await self._confirming.submit(claim)

    async def _record_wished(self, fences: Sequence[Fence]) -> list[Exception | None]:
        await self.record(fences)
        return [None] * len(fences)

    async def _confirm(self, claims: Sequence[Claim]) -> list[bool | Exception]:
        accepted = await self._rests.then(lambda: self._write(claims))
        return [claim.fence in accepted for claim in claims]

    async def _record(self) -> None:
        while True:
            if not self._watched:
                self._wake.clear()
                await self._wake.wait()
            await asyncio.sleep(RECORD_AFTER_SECONDS)
            due = self._runtime.clock.monotonic() - RECORD_AFTER_SECONDS
            lasting = []
            for since, claim in self._watched.values():
                if since > due:
                    break  # in order of their start
                lasting.append(claim)
            if lasting:
                try:
                    await self._record_all(lasting)
                except Exception as error:  # noqa: BLE001 - these are recorded at their end, others still while they run
                    _log.exception("attempts_not_recorded", task_ids=[claim.entry.id for claim in lasting])
                    self._runtime.reports.send(error)

    async def _record_all(self, claims: list[Claim]) -> None:
        for claim in claims:
            del self._watched[claim.fence]
        writing = asyncio.ensure_future(self._write(claims))
        self._writing.update({claim.fence: writing for claim in claims})
        try:
            accepted = await writing
        finally:
            for claim in claims:
                self._writing.pop(claim.fence, None)
        refused = [claim.fence for claim in claims if claim.fence not in accepted]
        if refused:
            self._runtime.metrics.lease_lost(len(refused))
            self.on_stale(refused)

    async def _write(self, claims: Sequence[Claim]) -> set[Fence]:
        """Return the accepted ones; of two attempts of one task the older is stale."""
        newest = {claim.entry.id: claim for claim in sorted(claims, key=lambda claim: claim.fence)}
        accepted = await start(self._runtime, self._worker, list(newest.values()))
        return {newest[task_id].fence for task_id in accepted}


def _ignore(_: Iterable[Fence]) -> None:
    """Until somebody asks to be told."""
