"""The heartbeat: keeps every lease of this process alive, from a thread of its own.

A handler that blocks the event loop does not stop it. One call per beat extends all leases and brings back those
that are lost. When no extension has succeeded for most of a lease, everything is given up by this machine's monotonic
clock, before another worker may start it: a beat that hangs is cut off at that moment. Whatever else fails, the thread
goes on.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import structlog

from orchestrator.clock import Clock
from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.queue.port import Queue
from orchestrator.queue.presence import Presence, WorkerCard

_log = structlog.get_logger("orchestrator.heartbeat")

_LONGEST_BEAT_SECONDS = 1.0
_BEATS_PER_LEASE = 4
_GIVE_UP_AT = 0.8
"""The share of a lease after which, unextended, it counts as lost."""
_SHORTEST_PAUSE_SECONDS = 0.05
_PRESENCE_MS = 10_000

Connections = Callable[[], tuple[Queue, Presence, Callable[[], object]]]


class Heartbeat:
    """Start it before the first claim, stop it after the last settlement."""

    def __init__(
        self,
        connect: Connections,
        worker: WorkerId,
        held: Mapping[TaskId, Fence],
        lost: Callable[[Iterable[Fence]], None],
        card: Callable[[], WorkerCard],
        lease_ms: int,
        clock: Clock,
    ) -> None:
        """`connect` is called in the thread and gives it its own clients; `lost` is called in the loop of `start`.

        `held` names one fence a task: the newest.
        """
        self._connect = connect
        self._worker = worker
        self._held = held
        self._lost = lost
        self._card = card
        self._lease_ms = lease_ms
        self._clock = clock
        self._said = ""
        """What went wrong at the last beat."""
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
        now = self._clock.monotonic
        safe_seconds = self._lease_ms / 1000 * _GIVE_UP_AT
        give_up_at = now() + safe_seconds
        failing = False
        while True:
            began_at = now()
            if failing and began_at >= give_up_at:
                self._report(dict(self._held))
                give_up_at = began_at + safe_seconds  # what is claimed from now on lasts longer than that
            left_seconds = give_up_at - began_at
            # A process that was only paused asks first: perhaps nobody took over yet.
            failing = not await self._beat(queue, presence, left_seconds if left_seconds > 0 else self.seconds)
            if not failing:
                give_up_at = began_at + safe_seconds
            pause = min(began_at + self.seconds, give_up_at) - now()
            # Waiting in a thread is fine here: this loop has nothing else to do.
            if self._stop.wait(max(_SHORTEST_PAUSE_SECONDS, pause)):
                break
        with suppress(Exception):
            async with asyncio.timeout(self.seconds):
                await presence.leave(self._worker)
        await close()  # type: ignore[misc]

    async def _beat(self, queue: Queue, presence: Presence, left_seconds: float) -> bool:
        """Extend every lease and say that this worker is alive; True if the leases are extended."""
        try:
            async with asyncio.timeout(left_seconds):
                await self._extend(queue)
        except Exception as error:  # noqa: BLE001 - a heart that stops loses every lease
            self._say("beat_failed", error)
            return False
        try:
            async with asyncio.timeout(self.seconds):
                await presence.announce(self._card(), _PRESENCE_MS)
        except Exception as error:  # noqa: BLE001 - no lease hangs on it
            self._say("worker_not_announced", error)
        else:
            self._said = ""
        return True

    def _say(self, event: str, error: Exception) -> None:
        """Once, not once a beat."""
        if self._said != event:
            _log.warning(event, reason=str(error) or type(error).__name__)
            self._said = event

    async def _extend(self, queue: Queue) -> None:
        held = dict(self._held)  # at one go: the loop's thread changes it, which no iteration bears
        if held:
            lost = await queue.extend(self._worker, list(held.items()), self._lease_ms)
            # What was settled, or claimed anew, while the call was under way is not held any more, and not lost.
            self._report({task_id: held[task_id] for task_id in lost if self._held.get(task_id) == held[task_id]})

    def _report(self, lost: Mapping[TaskId, Fence]) -> None:
        if lost and self._loop is not None:
            _log.warning("leases_lost", task_ids=list(lost))
            self._loop.call_soon_threadsafe(self._lost, list(lost.values()))
