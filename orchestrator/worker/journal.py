"""The journal of a worker: what handlers tell, on its way to the ledger and the live feed.

Events keep the order in which they were told. They are committed in Postgres before anyone sees them live, so a
listener never knows more than history does. An event of a stale fence is dropped.
"""

import asyncio
from collections import deque

import structlog

from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import Fence, WorkerId
from orchestrator.domain.task import Claim
from orchestrator.operations.tell import tell
from orchestrator.runtime import Runtime
from orchestrator.worker.recorder import Recorder

_log = structlog.get_logger("orchestrator.journal")

_BATCH = 500
_ROOM = 10_000
_GATHER_SECONDS = 0.005


class Journal:
    """Append from the loop's thread; one lane writes. It outlives every error: only the event to blame is dropped."""

    def __init__(self, runtime: Runtime, worker: WorkerId, recorder: Recorder) -> None:
        self._runtime = runtime
        self._worker = worker
        self._recorder = recorder
        self._waiting: deque[Told] = deque()
        self._appended = 0
        self._written = 0
        self._newest: dict[Fence, int] = {}
        """The number of the last event of each attempt that told something."""
        self._progress: dict[Fence, bytes] = {}
        self._wake = asyncio.Event()
        self._moved = asyncio.Condition()
        self._lane: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        self._lane = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Write what waits, then end."""
        self._stopping = True
        self._wake.set()
        if self._lane is not None:
            await self._lane

    def append(self, told: Told) -> None:
        self._waiting.append(told)
        self._appended += 1
        self._newest[told.fence] = self._appended
        if told.kind is EventKind.PROGRESS:
            self._progress[told.fence] = told.data
        self._wake.set()

    def progress(self, claim: Claim) -> bytes | None:
        """Return how far this attempt last said that it is, until it is flushed."""
        return self._progress.get(claim.fence)

    async def room(self) -> None:
        """Return when the journal is not full: what tells too fast is slowed down."""
        if len(self._waiting) < _ROOM:
            return
        async with self._moved:
            await self._moved.wait_for(lambda: len(self._waiting) < _ROOM)

    async def flush(self, claim: Claim) -> None:
        """Return when everything told so far by this attempt is written, and forget the attempt."""
        self._progress.pop(claim.fence, None)
        newest = self._newest.pop(claim.fence, 0)
        if newest <= self._written:
            return
        async with self._moved:
            await self._moved.wait_for(lambda: self._written >= newest)

    async def _write(self) -> None:
        while True:
            if not self._waiting:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                await asyncio.sleep(_GATHER_SECONDS)
                continue
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            await self._commit(batch)
            self._written += len(batch)
            async with self._moved:
                self._moved.notify_all()

    async def _commit(self, batch: list[Told]) -> None:
        try:
            await self._recorder.record({told.fence for told in batch})
            await tell(self._runtime, self._worker, batch)
        except Exception as error:  # noqa: BLE001 - who waits in flush or in room would wait for ever
            if len(batch) > 1:
                for told in batch:
                    await self._commit([told])
                return
            _log.error("event_dropped", task_id=batch[0].task_id, kind=batch[0].kind.value, reason=str(error))
            self._runtime.reports.send(error, task_id=batch[0].task_id)
