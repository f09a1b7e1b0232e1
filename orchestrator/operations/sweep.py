"""Sweeping: what was left lying is picked up. Every act here is safe when two do it at once.

`take_back` gives the tasks of vanished workers to others: the expired lease is itself taken over, under a higher
fence, and settled as a crash like any other attempt; so a worker that comes back from a pause is refused by Postgres
before its task starts again. A sweeper that dies half-way leaves a lease that runs out again.
"""

import structlog

from orchestrator.domain.events import OUTCOME
from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.domain.outcome import Crashed, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.states import State
from orchestrator.operations.fences import fresh_fence
from orchestrator.operations.settle import settle
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.sweep")

BATCH = 500
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
    """Settle expired leases as crashes; return how many were found."""
    claims = await runtime.queue.take_over(sweeper, BATCH, _TAKE_OVER_MS)
    if not claims:
        return 0
    _log.warning("leases_expired", task_ids=[claim.entry.id for claim in claims][:20], tasks=len(claims))
    endings = [decide(claim, Crashed(), _ANY_POLICY, chance=0.0) for claim in claims]
    accepted = await settle(runtime, sweeper, endings)
    ended = [ending.claim.entry.id for ending, fresh in zip(endings, accepted, strict=True) if not fresh]
    if ended:
        # Postgres knows them as final: the worker died between its commit and its word to Redis.
        await runtime.queue.drop(ended)
    return len(claims)


async def expire(runtime: Runtime) -> int:
    """End tasks that were not started before their `expires_at`; return how many."""
    ids: list[TaskId] = []
    if await runtime.ledger.has_expired():
        fence = await fresh_fence(runtime)
        tasks = await runtime.ledger.expire(fence, BATCH)
        ids = [task.id for task in tasks]
        for task in tasks:
            runtime.metrics.ended(task.type, State.EXPIRED.value)
        await runtime.queue.drop(ids)
        for task_id in ids:
            body = {"status": State.EXPIRED.value, "attempt": 0}
            await runtime.feed.publish_status(task_id, fence, OUTCOME, body, runtime.clock.now())
    return len(ids)
