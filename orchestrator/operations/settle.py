"""Settling: how the endings of attempts become facts, many at a time.

Postgres is written first, under each attempt's fence; Redis is told after the commit, together with the counts. A
process that dies in between leaves leases of tasks that are settled: the sweep takes them over, is refused by
Postgres, and makes the queue forget them. While a store is away the call waits for it: the leases are kept by the
heartbeat, and nothing that finished is run again.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from orchestrator.domain.ids import WorkerId
from orchestrator.domain.states import FINAL, RunStatus, State
from orchestrator.domain.task import Settlement, TaskError
from orchestrator.ledger.database import REFUSED
from orchestrator.operations.patience import patiently
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.settle")


async def settle(runtime: Runtime, worker: WorkerId, endings: Sequence[Settlement]) -> list[bool]:
    """Record the endings; False for one whose fence is stale or whose task is final: it changed nothing."""
    endings, accepted = await _record(runtime, list(endings))
    kept = [ending for ending, fresh in zip(endings, accepted, strict=True) if fresh]
    for ending in kept:
        _count(runtime, ending)
    if len(kept) < len(endings):
        runtime.metrics.lease_lost(len(endings) - len(kept))
        refused = [ending.claim.entry.id for ending, fresh in zip(endings, accepted, strict=True) if not fresh]
        _log.warning("stale_result_discarded", task_ids=refused)
    counts = runtime.metrics.drain()
    if kept or counts:
        await patiently(runtime.clock, lambda: runtime.queue.settle(worker, kept, counts))
    return accepted


async def _record(runtime: Runtime, endings: list[Settlement]) -> tuple[list[Settlement], list[bool]]:
    """Write the endings to Postgres; return what was written and which were accepted.

    One whose data Postgres will never take must not keep the others of its batch from being recorded: each is then
    tried alone, and the one to blame is recorded as failed. Anything else that Postgres says is waited for.
    """
    try:
        return endings, await patiently(runtime.clock, lambda: runtime.ledger.settle(endings))
    except REFUSED as error:
        if len(endings) == 1:
            failed = [_unstorable(endings[0], error)]
            return failed, await patiently(runtime.clock, lambda: runtime.ledger.settle(failed))
    alone = [await _record(runtime, [ending]) for ending in endings]
    return [written[0] for written, _ in alone], [fresh[0] for _, fresh in alone]


def _unstorable(ending: Settlement, error: Exception) -> Settlement:
    cause = TaskError(
        type="ResultNotStorable",
        message=f"Postgres cannot store the result: {str(error)[:500]}",
        retryable=False,
        fingerprint=f"unstorable:{ending.claim.entry.type}",
    )
    return replace(
        ending, state=State.FAILED, run_status=RunStatus.FAILED, result=None, progress=None, delay_us=None, error=cause
    )


def _count(runtime: Runtime, ending: Settlement) -> None:
    entry, metrics = ending.claim.entry, runtime.metrics
    duration_seconds, wait_seconds = ending.duration_us / 1e6, ending.claim.waited_us / 1e6
    if ending.state not in FINAL and ending.run_status is not RunStatus.FAILED:
        metrics.requeued("not_begun" if ending.run_status is None else ending.run_status.value)
    elif ending.state is State.RETRYING:
        metrics.retried(entry.type, duration_seconds, wait_seconds, entry.queue)
    elif ending.run_status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        metrics.settled(entry.type, ending.state.value, duration_seconds, wait_seconds, entry.queue)
    else:
        metrics.ended(entry.type, ending.state.value)
