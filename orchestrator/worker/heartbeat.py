"""The heartbeat: keeps every lease of this process alive, from a thread of its own.

A handler that blocks the event loop does not stop it. One call per beat extends all leases and brings back those
that are lost. When no extension has succeeded for most of a lease, everything is given up by this machine's monotonic
clock, before another worker may start it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import structlog

from orchestrator.clock import Clock
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.queue.port import Queue
from orchestrator.queue.presence import Presence, WorkerCard

_log = structlog.get_logger("orchestrator.heartbeat")

_LONGEST_BEAT_SECONDS = 1.0
_BEATS_PER_LEASE = 4
_GIVE_UP_AT = 0.8
"""The share of a lease after which, unextended, it counts as lost."""
_PRESENCE_MS = 10_000

Connections = Callable[[], tuple[Queue, Presence, Callable[[], object]]]


class Heartbeat:
    """Start it before the first claim, stop it after the last settlement."""

    def __init__(
        self,
        connect: Connections,
        worker: WorkerId,
        held: Mapping[TaskId, Fence],
        lost: Callable[[Iterable[TaskId]], None],
        card: Callable[[], WorkerCard],
        lease_ms: int,
        clock: Clock,
    ) -> None:
        """`connect` is called in the thread and gives it its own clients; `lost` is called in the loop of `start`."""
        self._connect = connect
        self._worker = worker
        self._held = held
        self._lost = lost
        self._card = card
        self._lease_ms = lease_ms
        self._clock = clock
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @property
    def seconds(self) -> float:
        return min(_LONGEST_BEAT_SECONDS, self._lease_ms / 1000 / _BEATS_PER_LEASE)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End the thread; the worker is gone from the list of workers then."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.run(self._beat_until_stopped())

    async def _beat_until_stopped(self) -> None:
        queue, presence, close = self._connect()
        succeeded_at = self._clock.monotonic()
        while True:
            began_at = self._clock.monotonic()
            try:
                await self._beat(queue, presence)
                succeeded_at = began_at
            except Unavailable as away:
                unextended = self._clock.monotonic() - succeeded_at
                _log.warning("beat_failed", reason=str(away), unextended_seconds=round(unextended, 1))
                if unextended > self._lease_ms / 1000 * _GIVE_UP_AT:
                    self._report(list(self._held))
            # Waiting in a thread is fine here: this loop has nothing else to do.
            if self._stop.wait(max(0.05, self.seconds - (self._clock.monotonic() - began_at))):
                break
        with suppress(Unavailable):
            await presence.leave(self._worker)
        await close()  # type: ignore[misc]

    async def _beat(self, queue: Queue, presence: Presence) -> None:
        held = list(self._held.items())
        if held:
            lost = await queue.extend(self._worker, held, self._lease_ms)
            # A task that was settled while the call was under way is not held any more, and not lost.
            self._report([task_id for task_id in lost if task_id in self._held])
        await presence.announce(self._card(), _PRESENCE_MS)

    def _report(self, lost: list[TaskId]) -> None:
        if lost and self._loop is not None:
            _log.warning("leases_lost", task_ids=lost)
            self._loop.call_soon_threadsafe(self._lost, lost)
