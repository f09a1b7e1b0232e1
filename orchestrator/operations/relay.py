"""Relaying: what the outbox keeps is written to Postgres, in order, and then removed from it.

Two relays at once, and one that dies between the commit and the removal, apply records twice: that changes nothing.
"""

import structlog

from orchestrator import crash
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.outbox import RecordKind, Waiting
from orchestrator.ledger.outbox import Applied, apply
from orchestrator.operations.wake import wake_parents
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.relay")

_MOST_RECORDS = 1000
_FEWEST_RECORDS = 10
_MUCH_BYTES = 4_000_000


class Relay:
    """One process' relay; it learns how many records make a batch that Postgres takes in good time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._records = _MOST_RECORDS // 10

    async def turn(self) -> int:
        """Apply the oldest records; return how many there were. Raises Unavailable with nothing lost."""
        try:
            waiting = await self._runtime.queue.outbox(self._records)
            if not waiting:
                return 0
            applied = await apply(self._runtime.ledger, [(each.kind, each.task_id, each.record) for each in waiting])
        except Unavailable:
            self._records = max(_FEWEST_RECORDS, self._records // 2)
            raise
        crash.at("relayed")
        withdrawn = [each.task_id for each in waiting if each.kind is RecordKind.WITHDRAW]
        if withdrawn:
            await self._runtime.queue.drop(withdrawn)  # the reconciler may have found the row before
        await self._runtime.queue.applied(waiting)
        await wake_parents(self._runtime, [each.task_id for each in waiting if each.kind is RecordKind.SETTLE])
        much = sum(len(each.record) for each in waiting) > _MUCH_BYTES
        self._records = max(_FEWEST_RECORDS, min(_MOST_RECORDS, self._records // 2 if much else self._records * 2))
        _report(self._runtime, waiting, applied)
        return len(waiting)


def _report(runtime: Runtime, waiting: list[Waiting], applied: Applied) -> None:
    _log.info("outbox_applied", records=len(waiting), written=applied.written)
    if applied.stale:
        runtime.metrics.lease_lost(len(applied.stale))
        stale = [waiting[place].task_id for place in applied.stale]
        _log.warning("stale_records_discarded", task_ids=stale[:20], records=len(stale))
    for task_id, holder in applied.conflicts:
        # The queue had forgotten the key: both were accepted, and both are kept.
        _log.error("key_held_twice", task_id=task_id, holder=holder)
    for refused in applied.refused:
        at_fault = waiting[refused.place]
        _log.error("record_refused", task_id=at_fault.task_id, kind=at_fault.kind.value, reason=refused.reason)
