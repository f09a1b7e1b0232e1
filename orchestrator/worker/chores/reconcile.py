"""The chore that keeps Redis in step with Postgres.

Three paces: an epoch that is missing or behind is opened at once, and a full pass follows after the workers had
time to assert the leases they hold; tasks created in the last seconds are looked at every second; and a slow full
pass goes on for ever. Nothing is put back between an epoch and its first full pass. The other way round, what Redis
holds and Postgres has ended is `strays`.
"""

from datetime import datetime, timedelta
from functools import partial

import structlog

from orchestrator.domain.ids import LOWEST_ID, TaskId
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.rebuild import mend_fresh, mend_page
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore
from orchestrator.worker.chores.strays import Strays
from orchestrator.worker.resting import Rests

_log = structlog.get_logger("orchestrator.reconcile")

_ASSERT_SECONDS = 2.5
"""Two beats of the slowest heartbeat, and some: running work is known again before the rest is put back."""
_LOOK_BACK = timedelta(seconds=60)
"""How far `fresh` looks back at most, however long this process has not led: the full pass finds what is older."""

_LONG_AWAY_SECONDS = 30.0
_LONGEST_REST_SECONDS = 0.03
"""Between the pages of a rebuild: 1.5 s for 100,000 tasks."""


class Reconciler:
    """One process' passes. A second one elsewhere does the same work twice and no harm."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._rebuilt_epoch: int | None = None
        self._epoch_seen_at = 0.0
        self._epoch_seen: int | None = None
        self._full_after: TaskId = LOWEST_ID
        self._fresh_since: datetime = runtime.clock.now() - _LOOK_BACK
        self._answered_at = runtime.clock.monotonic()

    def chores(self) -> list[Chore]:
        return [
            Chore("epoch", 1.0, self._watch_epoch),
            Chore("fresh", 1.0, self._look_at_fresh),
            Chore("full_pass", 5.0, self._go_on),
            Chore("strays", 2.0, Strays(self._runtime).look),
        ]

    async def _watch_epoch(self) -> bool:
        await open_epoch(self._runtime)
        epoch = await self._runtime.queue.epoch()
        now = self._runtime.clock.monotonic()
        if now - self._answered_at > _LONG_AWAY_SECONDS:
            self._rebuilt_epoch = self._epoch_seen = None  # more was accepted meanwhile than `fresh` looks back
        self._answered_at = now
        if epoch != self._epoch_seen:
            self._epoch_seen, self._epoch_seen_at = epoch, now
        asserted = now - self._epoch_seen_at >= _ASSERT_SECONDS
        if epoch is not None and epoch != self._rebuilt_epoch and asserted:
            await self._rebuild(epoch)
            self._rebuilt_epoch = epoch
        return False

    async def _rebuild(self, epoch: int) -> None:
        began = self._runtime.clock.monotonic()
        rests = Rests(self._runtime.clock, times=1.0, longest_seconds=_LONGEST_REST_SECONDS)
        after: TaskId | None = LOWEST_ID
        total = 0
        while after is not None:
            after, mended = await rests.then(partial(mend_page, self._runtime, after, epoch))
            total += mended
        took = round(self._runtime.clock.monotonic() - began, 2)
        _log.info("queue_rebuilt", epoch=epoch, tasks=total, seconds=took)

    async def _standing(self) -> int | None:
        """The queue's epoch, once its first full pass was made; None before."""
        epoch = await self._runtime.queue.epoch()
        return epoch if epoch == self._rebuilt_epoch else None

    async def _look_at_fresh(self) -> bool:
        epoch = await self._standing()
        if epoch is not None:
            since = max(self._fresh_since, self._runtime.clock.now() - _LOOK_BACK)
            self._fresh_since, _ = await mend_fresh(self._runtime, since, epoch)
        return False

    async def _go_on(self) -> bool:
        epoch = await self._standing()
        if epoch is not None:
            after, _ = await mend_page(self._runtime, self._full_after, epoch)
            self._full_after = LOWEST_ID if after is None else after
        return False
