"""The chore that keeps Redis in step with Postgres.

Three paces: an epoch that is missing or behind is opened at once, and a full pass follows after the workers had
time to assert the leases they hold; tasks created in the last seconds are looked at every second; and a slow full
pass goes on for ever.
"""

from datetime import datetime, timedelta

import structlog

from orchestrator.domain.ids import TaskId
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.rebuild import BEGINNING, mend_fresh, mend_page, remember_pauses
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore

_log = structlog.get_logger("orchestrator.reconcile")

_ASSERT_SECONDS = 2.5
"""Two beats of the slowest heartbeat, and some: running work is known again before the rest is put back."""
_LOOK_BACK = timedelta(seconds=60)


class Reconciler:
    """One process' passes. A second one elsewhere does the same work twice and no harm."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._rebuilt_epoch: int | None = None
        self._epoch_seen_at = 0.0
        self._epoch_seen: int | None = None
        self._full_after: TaskId = BEGINNING
        self._fresh_since: datetime = runtime.clock.now() - _LOOK_BACK

    def chores(self) -> list[Chore]:
        return [
            Chore("epoch", 1.0, self._watch_epoch),
            Chore("fresh", 1.0, self._look_at_fresh),
            Chore("full_pass", 5.0, self._go_on),
        ]

    async def _watch_epoch(self) -> bool:
        await open_epoch(self._runtime)
        epoch = await self._runtime.queue.epoch()
        now = self._runtime.clock.monotonic()
        if epoch != self._epoch_seen:
            self._epoch_seen, self._epoch_seen_at = epoch, now
            await remember_pauses(self._runtime)
        if epoch != self._rebuilt_epoch and now - self._epoch_seen_at >= _ASSERT_SECONDS:
            await self._rebuild()
            self._rebuilt_epoch = epoch
        return False

    async def _rebuild(self) -> None:
        began = self._runtime.clock.monotonic()
        after: TaskId | None = BEGINNING
        total = 0
        while after is not None:
            after, mended = await mend_page(self._runtime, after)
            total += mended
        took = round(self._runtime.clock.monotonic() - began, 2)
        _log.info("queue_rebuilt", epoch=self._epoch_seen, tasks=total, seconds=took)

    async def _look_at_fresh(self) -> bool:
        self._fresh_since, _ = await mend_fresh(self._runtime, self._fresh_since)
        return False

    async def _go_on(self) -> bool:
        if self._rebuilt_epoch is None:
            return False  # the first pass is the rebuild's
        after, _ = await mend_page(self._runtime, self._full_after)
        self._full_after = BEGINNING if after is None else after
        return False
