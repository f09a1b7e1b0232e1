"""Chores that keep what is counted against the limits of tenants in step with what there is."""

from orchestrator.operations.ceiling import BATCH, recount, recount_waiting
from orchestrator.operations.profile import ceilings
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore

_ASSERT_SECONDS = 2.5
"""As for the reconciler: by then workers have asserted the leases that Redis forgot."""


class Ceilings:
    """One process' recounts. Where nothing that runs is limited they cost one look at the epoch."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._epoch: int | None = None
        self._epoch_seen_at = 0.0
        self._were_set = True
        """A process before this one may have left some."""

    async def tick(self) -> bool:
        epoch, now = await self._runtime.queue.epoch(), self._runtime.clock.monotonic()
        if epoch != self._epoch:
            self._epoch, self._epoch_seen_at = epoch, now
        are_set = bool(ceilings(self._runtime))
        if not are_set and not self._were_set:
            return False
        asserted = epoch is not None and now - self._epoch_seen_at >= _ASSERT_SECONDS
        came = await recount(self._runtime, asserted=asserted)
        self._were_set = are_set or came > 0
        return came >= BATCH


def chores(runtime: Runtime) -> list[Chore]:
    async def waiting() -> bool:
        await recount_waiting(runtime)
        return False

    return [Chore("ceilings", 2.0, Ceilings(runtime).tick), Chore("recount_waiting", 10.0, waiting)]
