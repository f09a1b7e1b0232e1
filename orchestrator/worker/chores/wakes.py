"""Chores for what waits: moments that have come, and waits that nobody ended.

The first is how sleeps end. The others find what a process that died left behind: a wait that is over, by going through
all tasks that wait for others in pages; and children of a cancelled task.
"""

from orchestrator.domain.ids import LOWEST_ID, TaskId
from orchestrator.operations.cancel import cancel_orphan
from orchestrator.operations.wake import BATCH, wake, wake_due
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore

_PAGE = 1_000


def chores(runtime: Runtime) -> list[Chore]:
    place: dict[str, TaskId] = {}

    async def timers() -> bool:
        return await wake_due(runtime) >= BATCH

    async def wakes() -> bool:
        ids = await runtime.ledger.waiting_ids(place.get("wakes", LOWEST_ID), _PAGE)
        place["wakes"] = ids[-1] if len(ids) == _PAGE else LOWEST_ID
        await wake(runtime, ids)
        return len(ids) == _PAGE

    async def orphans() -> bool:
        found = await runtime.ledger.orphans(_PAGE)
        for tenant, task_id in found:
            await cancel_orphan(runtime, tenant, task_id)
        return len(found) == _PAGE

    return [Chore("timers", 1.0, timers), Chore("wakes", 3.0, wakes), Chore("orphans", 5.0, orphans)]
