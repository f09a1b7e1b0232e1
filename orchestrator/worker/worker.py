"""The worker: takes tasks in order, as many as may run at once, until it is told to stop.

An idle worker waits in BZPOPMIN, which costs nothing and wakes it within a millisecond. A busy one claims straight
from the queues that had more, as many as it has room for. What it claimed is leased before it is known here, so a
worker that dies at any line loses nothing.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Protocol

import structlog

from orchestrator import crash
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.domain.task import DEFAULT_QUEUE, Claim
from orchestrator.operations.fences import open_epoch
from orchestrator.queue.port import EpochMissing, Popped, QueuePaused
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.worker")

_DOORBELL_SECONDS = 1.0
"""The longest wait in BZPOPMIN: how soon a new queue name is heard of, and a phantom waiter ends."""
_BATCH = 200
_LOOK_ROUND_EVERY = 4
"""One take in so many goes over all queues, so that none starves behind another's backlog."""


class Slots(Protocol):
    """Where the attempts of a claim loop run."""

    @property
    def room(self) -> int: ...
    @property
    def brisk(self) -> bool: ...
    async def moved(self) -> None: ...
    def wake(self) -> None: ...
    def start(self, claim: Claim) -> None: ...


class Worker:
    """A claim loop of one process; `run` returns when it was stopped."""

    def __init__(
        self,
        runtime: Runtime,
        worker: WorkerId,
        attempts: Slots,
        queues: tuple[str, ...],
        others: Collection[str] = (),
    ) -> None:
        """`queues` names the ones to serve; empty serves every queue there is but `others`."""
        self._runtime = runtime
        self._worker = worker
        self._attempts = attempts
        self._only = queues
        self._others = frozenset(others)
        self._known: deque[str] = deque(queues)
        self._full: deque[str] = deque()
        """Queues whose last claim gave all that was asked for: they have more."""
        self._takes = 0
        self._paused: set[str] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take nothing more, but for what a waiting BZPOPMIN still hands out."""
        self._stopping.set()
        self._attempts.wake()

    def heard(self, message: dict[str, object]) -> None:
        """A control message: a queue that is new or was resumed, or that such messages may have been missed."""
        if message.get("missed"):
            self._paused.clear()
            self._known.clear()  # the next look round learns them anew
        queue = message.get("queue")
        if isinstance(queue, str):
            self._paused.discard(queue)
            if not self._only and queue not in self._known and queue not in self._others:
                self._known.append(queue)

    async def run(self) -> None:
        away = 0
        while not self._stopping.is_set():
            free = min(_BATCH, self._attempts.room)
            if free <= 0:
                await self._attempts.moved()
                continue
            try:
                await self._take(free)
                away = 0
            except (Unavailable, EpochMissing) as reason:
                away += 1
                await self._wait_for_redis(reason, away)

    async def _take(self, free: int) -> None:
        self._takes += 1
        if self._full and (len(self._known) == 1 or self._takes % _LOOK_ROUND_EVERY):
            await self._claim(self._full[0], free, None)
            self._full.rotate(-1)
            return
        queues = await self._served()
        if not queues:
            await self._pause_of(_DOORBELL_SECONDS)
            return
        if self._attempts.brisk:
            popped, claims = await self._pop_and_claim(queues, free)
        else:
            popped, claims = await self._runtime.queue.pop(queues, _DOORBELL_SECONDS), []
        if popped is not None:
            crash.at("popped")
        if claims:
            await self._begin(claims[0].entry.queue, free, claims)
        elif popped is not None:
            await self._claim(popped.queue, free, popped.id)

    async def _pop_and_claim(self, queues: list[str], free: int) -> tuple[Popped | None, list[Claim]]:
        """Wait for a task and be its holder at once, as who claims ahead is anyway: that saves a round trip.

        A process that was stopped meanwhile hears of it late: it makes sure of the leases before it begins.
        """
        limits, monotonic = self._runtime.limits, self._runtime.clock.monotonic
        wait_seconds = min(_DOORBELL_SECONDS, limits.lease_ms / 1000 / 2)
        sent_at = monotonic()
        popped, claims = await self._runtime.queue.pop_and_claim(
            self._worker, queues, free, limits.lease_ms, wait_seconds
        )
        if claims and monotonic() - sent_at > wait_seconds + limits.lease_ms / 1000 / 8:
            held = [(claim.entry.id, claim.fence) for claim in claims]
            lost = set(await self._runtime.queue.extend(self._worker, held, limits.lease_ms))
            claims = [claim for claim in claims if claim.entry.id not in lost]
        return popped, claims

    async def _claim(self, queue: str, free: int, popped: TaskId | None) -> None:
        try:
            claims = await self._runtime.queue.claim(self._worker, queue, free, self._runtime.limits.lease_ms, popped)
        except QueuePaused:
            claims = []
            self._paused.add(queue)
        await self._begin(queue, free, claims)

    async def _begin(self, queue: str, free: int, claims: list[Claim]) -> None:
        """Start what was claimed where `free` were asked for."""
        if len(claims) < free:
            if queue in self._full:
                self._full.remove(queue)
        elif queue not in self._full:
            self._full.append(queue)
        self._start(claims)
        if claims and len(claims) < free:
            await asyncio.sleep(0)  # no more is waiting: what was claimed begins before the next question is sent

    def _start(self, claims: list[Claim]) -> None:
        if claims:
            crash.at("claimed")
        for claim in claims:
            self._attempts.start(claim)

    async def _served(self) -> list[str]:
        """The queues to wait on, each time starting with another: none starves behind a busy one."""
        if self._only:
            self._known = self._known or deque(self._only)
        else:
            names = {DEFAULT_QUEUE, *await self._runtime.queue.names()} - self._others
            if names != set(self._known):
                self._known = deque(sorted(names))
        self._known.rotate(-1)
        return [name for name in self._known if name not in self._paused]

    async def _wait_for_redis(self, reason: Exception, failures: int) -> None:
        if failures == 1:
            _log.warning("claims_stopped", reason=str(reason) or type(reason).__name__)
        if isinstance(reason, EpochMissing):
            try:
                if await open_epoch(self._runtime) is not None:
                    return
            except Unavailable:
                pass  # the wait below is the answer
        await self._pause_of(self._runtime.clock.chance() * min(1.0, 0.05 * 2.0 ** min(failures, 10)))

    async def _pause_of(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
