"""Settling: how the endings of attempts become facts, many at a time.

Postgres is written first, under each attempt's fence; Redis is told after the commit, together with the counts. A
process that dies in between leaves leases of tasks that are settled: the sweep takes them over, is refused by
Postgres, and makes the queue forget them. While Postgres is away the ending goes to the outbox in the same act that
ends the lease. While only Redis is away Postgres takes the endings all the same, and Redis hears of them when it is
back; while both are away the call waits: nothing that finished is run again.
"""

from collections.abc import Sequence

import structlog

from orchestrator import crash
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import WorkerId
from orchestrator.domain.outcome import unstorable
from orchestrator.domain.states import FINAL, RunStatus, State
from orchestrator.domain.task import Settlement
from orchestrator.ledger import outbox_records
from orchestrator.ledger.database import REFUSED
from orchestrator.operations.patience import patiently
from orchestrator.operations.seal import seal_ending
from orchestrator.operations.standby import appended, early, told, written
from orchestrator.operations.wake import wake_parents
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.settle")


async def settle(runtime: Runtime, worker: WorkerId, endings: Sequence[Settlement]) -> list[bool]:
    """Record the endings; False for one whose fence is stale or whose task is final: it changed nothing."""
    asked = [seal_ending(runtime, ending) for ending in endings]
    return await patiently(
        runtime.clock,
        lambda: written(runtime, lambda: _directly(runtime, worker, asked), lambda: _append(runtime, worker, asked)),
    )


async def _directly(runtime: Runtime, worker: WorkerId, asked: list[Settlement]) -> list[bool]:
    endings, accepted = await _record(runtime, asked)
    refused = [place for place, fresh in enumerate(accepted) if not fresh]
    if await early(runtime, [asked[place].claim.entry.id for place in refused]):
        return await appended(
            runtime, lambda: _append(runtime, worker, asked)
        )  # those that Postgres took are recorded once all the same
    if refused:  # the relay may have brought their rows between the refusal and that look: this answer is definite
        again, kept_now = await _record(runtime, [asked[place] for place in refused])
        endings = list(endings)
        for place, ending, fresh in zip(refused, again, kept_now, strict=True):
            endings[place], accepted[place] = ending, fresh
    await _tell(runtime, worker, _noted(runtime, endings, accepted))
    return accepted


async def _tell(runtime: Runtime, worker: WorkerId, kept: list[Settlement]) -> None:
    """Tell Redis what Postgres has; later when it is away, and never when this process dies before: the sweep does."""
    counts = runtime.metrics.drain()

    async def settled() -> None:
        await runtime.queue.settle(worker, kept, counts)
        crash.at("settled")
        ended = [ending.claim.entry.id for ending in kept if ending.claim.entry.called and ending.state in FINAL]
        await wake_parents(runtime, ended)

    if kept or counts:
        crash.at("recorded")
        await told(runtime, settled)


async def _append(runtime: Runtime, worker: WorkerId, endings: list[Settlement]) -> list[bool]:
    """End the leases and put the endings in the outbox, in one act."""
    counts = runtime.metrics.drain()
    try:
        accepted = await runtime.queue.settle(
            worker, endings, counts, [outbox_records.settled(ending) for ending in endings]
        )
    except Unavailable:
        runtime.metrics.restore(counts)
        raise
    _noted(runtime, endings, accepted)
    return accepted


def _noted(runtime: Runtime, endings: list[Settlement], accepted: list[bool]) -> list[Settlement]:
    """Count and log; return what was accepted."""
    kept = [ending for ending, fresh in zip(endings, accepted, strict=True) if fresh]
    for ending in kept:
        _count(runtime, ending)
    if len(kept) < len(endings):
        runtime.metrics.lease_lost(len(endings) - len(kept))
        refused = [ending.claim.entry.id for ending, fresh in zip(endings, accepted, strict=True) if not fresh]
        _log.warning("stale_result_discarded", task_ids=refused)
    return kept


async def _record(runtime: Runtime, endings: list[Settlement]) -> tuple[list[Settlement], list[bool]]:
    """Write the endings to Postgres; return what was written and which were accepted. Raises Unavailable.

    One whose data Postgres will never take must not keep the others of its batch from being recorded: each is then
    tried alone, and the one to blame is recorded as failed.
    """
    try:
        return endings, await runtime.ledger.settle(endings)
    except REFUSED as error:
        if len(endings) == 1:
            failed = [unstorable(endings[0], str(error))]
            return failed, await runtime.ledger.settle(failed)
    alone = [await _record(runtime, [ending]) for ending in endings]
    return [kept[0] for kept, _ in alone], [fresh[0] for _, fresh in alone]


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
