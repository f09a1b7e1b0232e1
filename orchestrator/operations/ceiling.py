"""Ceilings: how many tasks of a tenant run at once, and what waits in front of them, kept right.

Claims decide by what Redis has counted. Here it is counted anew: for leases that were asserted after Redis forgot them,
ceilings that came or went, and whatever drifted. Every act is safe when two do it at once.
"""

from datetime import timedelta

from orchestrator.domain.ids import Tenant, first_id
from orchestrator.operations.profile import ceilings, learn
from orchestrator.runtime import Runtime

BATCH = 1_000
_NOBODY = Tenant(""), ""
"""Whose a lease is that Postgres knows nothing of."""
_ON_ITS_WAY = timedelta(seconds=10)
"""A place that is older belongs to a task that is kept, or to none."""


async def recount(runtime: Runtime, *, asserted: bool) -> int:
    """Count the leases of limited owners, and let held tasks come for which there is room; return how many did.

    `asserted`: the workers had time to assert the leases that a Redis without memory lacks. Raises Unavailable.
    """
    await learn(runtime)
    await runtime.queue.bound(ceilings(runtime))
    came, strange = await runtime.queue.recount(BATCH, [], asserted=asserted)
    if not strange:
        return came
    owners = {task: (tenant, type_name) for task, tenant, type_name in await runtime.ledger.owners_of(strange)}
    told = [(task, *owners.get(task, _NOBODY)) for task in strange]
    return came + (await runtime.queue.recount(BATCH, told, asserted=asserted))[0]


async def recount_waiting(runtime: Runtime) -> None:
    """Compare what waits of limited tenants with Postgres, and mend the difference. Raises Unavailable."""
    if await runtime.queue.outbox_depth():
        return  # Postgres does not know all of it
    for profile in list(runtime.profiles.by_tenant.values()):
        bounds = (profile.bounds, *profile.types.values())
        if any(each.queued is not None for each in bounds):
            await _recount_of(runtime, profile.tenant)


async def _recount_of(runtime: Runtime, tenant: Tenant) -> None:
    counted = await runtime.queue.waiting(tenant)
    unbegun = await runtime.ledger.unbegun(tenant)
    before = first_id(runtime.clock.now(), -_ON_ITS_WAY)
    await runtime.queue.count_waiting(tenant, unbegun)
    await runtime.queue.uncount([task for task in counted if task not in unbegun and task < before])
