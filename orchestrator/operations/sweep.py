"""Sweeping: what was left lying is picked up. Every act here is safe when two do it at once.

`take_back` gives the tasks of vanished workers to others: the expired lease is itself taken over, under a higher
fence, and settled as a crash like any other attempt; so a worker that comes back from a pause is refused by Postgres
before its task starts again. A crash that Postgres refuses has an ending on record, and Redis was not told: the
sweeper lets go of its own lease, and the task stands in the queue as Postgres has it. A sweeper that dies half-way
leaves a lease that runs out again.
"""

from collections.abc import Sequence

import structlog

from orchestrator import crash
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.events import OUTCOME
from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.domain.outcome import Crashed, decide
from orchestrator.domain.retry import RetryPolicy, is_suspect
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Settlement
from orchestrator.operations.fences import fresh_fence
from orchestrator.operations.rebuild import restore
from orchestrator.operations.settle import settle
from orchestrator.operations.wake import wake_parents
from orchestrator.queue.port import PAGE
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.sweep")

BATCH = PAGE
"""Who finds so many looks for more at once."""
_TAKE_OVER_MS = 10_000
_ANY_POLICY = RetryPolicy()


async def promote(runtime: Runtime) -> int:
    """Move what is due into its queue; return how many."""
    due = await runtime.queue.promote(BATCH)
    if due:
        await runtime.ledger.promote(due)
    return len(due)


async def put_back(runtime: Runtime) -> int:
    """Return ids that were popped and never leased; return how many."""
    found = await runtime.queue.put_back(BATCH)
    if found:
        runtime.metrics.requeued("popped", len(found))
        _log.info("popped_put_back", tasks=len(found))
    return len(found)


async def take_back(runtime: Runtime, sweeper: WorkerId) -> int:
    """Settle expired leases as crashes, and queue again what has no other place; return how many were found."""
    claims, astray = await runtime.queue.take_over(sweeper, BATCH, _TAKE_OVER_MS)
    found = [*(claim.entry.id for claim in claims), *astray]
    if not found:
        return 0
    crash.at("taken_over")
    _log.warning("leases_expired", task_ids=found[:20], tasks=len(found))
    if claims:
        endings = await _crashes(runtime, claims)
        accepted = await settle(runtime, sweeper, endings)
        refused = [(claim.entry.id, claim.fence) for claim, fresh in zip(claims, accepted, strict=True) if not fresh]
        # Only what is still this sweeper's: after a pause another may hold the task, and run it.
        astray += await runtime.queue.forget(sweeper, refused)
        # Their endings are on record, and whoever wrote them may have died before waking anybody.
        await wake_parents(runtime, [task_id for task_id, _ in refused])
    await restore(runtime, astray)
    return len(found)


async def _crashes(runtime: Runtime, claims: Sequence[Claim]) -> list[Settlement]:
    """Decide what becomes of tasks whose worker vanished; where the next crash is the last, ask whether they ran."""
    suspects = [claim for claim in claims if is_suspect(claim.entry.crashes)]
    begun = await _on_record(runtime, suspects) if suspects else set()
    return [decide(claim, Crashed(claim.entry.id in begun), _ANY_POLICY, chance=0.0) for claim in claims]


async def _on_record(runtime: Runtime, suspects: Sequence[Claim]) -> set[TaskId]:
    try:
        return await runtime.ledger.on_record(suspects)
    except Unavailable:
        return set()  # nobody knows


async def drop_ended(runtime: Runtime, ids: Sequence[TaskId]) -> int:
    """Make the queue forget tasks that Postgres has ended, and stop their workers; return how many it held."""
    absent = set(await runtime.queue.missing(ids)) if ids else set()
    strays = [task_id for task_id in ids if task_id not in absent]
    if strays:
        await runtime.queue.drop(strays)
        await restore(runtime, strays)  # one that was replayed meanwhile
        _log.warning("strays_dropped", task_ids=strays[:20], tasks=len(strays))
    return len(strays)


async def expire(runtime: Runtime) -> int:
    """End tasks that were not started before their `expires_at`; return how many.

    An attempt that started in time is leased, though its row may not show it yet; one that is claimed afterwards
    sees for itself that it is late.
    """
    ids: list[TaskId] = []
    candidates = await runtime.ledger.expiring(BATCH)
    leased = set(await runtime.queue.leased()) if candidates else set()
    candidates = [task_id for task_id in candidates if task_id not in leased]
    if candidates:
        fence = await fresh_fence(runtime)
        tasks = await runtime.ledger.expire(fence, candidates)
        ids = [task.id for task in tasks]
        for task in tasks:
            runtime.metrics.ended(task.type, State.EXPIRED.value)
        await runtime.queue.drop(ids)
        for task_id in ids:
            body = {"status": State.EXPIRED.value, "attempt": 0}
            await runtime.feed.publish_status(task_id, fence, OUTCOME, body, runtime.clock.now())
        await wake_parents(runtime, ids)
    return len(ids)
