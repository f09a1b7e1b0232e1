"""History: what happened to a task, in the order of its places.

What handlers tell is stored; statuses are derived from the task's row and its runs, so the hot path writes no event.
"""

from collections.abc import Sequence

from orchestrator.domain.events import SPAN, Event, EventKind, Told
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.task import Run
from orchestrator.ledger.database import Database
from orchestrator.ledger.records import event_of, run_of
from orchestrator.ledger.statements import load

_SQL = load("history")


class History:
    _database: Database

    async def tell(self, events: Sequence[Told]) -> list[bool]:
        """Store events; False for one whose attempt is stale. An event that is stored already is accepted again."""
        places = await self._database.value(
            _SQL["tell"],
            [event.task_id for event in events],
            [event.fence for event in events],
            [event.number for event in events],
            [event.tenant for event in events],
            [event.kind for event in events],
            [event.data.decode() for event in events],
            [event.at for event in events],
        )
        accepted = set(places)
        return [place in accepted for place in range(1, len(events) + 1)]

    async def runs(self, tenant: Tenant, task_id: TaskId) -> list[Run]:
        """Return the attempts, oldest first."""
        return [run_of(row) for row in await self._database.of(tenant).rows(_SQL["runs"], tenant, task_id)]

    async def events(
        self, tenant: Tenant, task_id: TaskId, after: int, limit: int, kinds: Sequence[EventKind] | None = None
    ) -> list[Event]:
        """Return the next events behind a place, stored ones and statuses in one order; the end is not among them."""
        fence, number = divmod(after, SPAN)
        wanted = None if kinds is None else list(kinds)
        asked = (task_id, fence, number, wanted, limit)
        rows = await self._database.of(tenant).rows(_SQL["events"], tenant, *asked)
        return [event_of(task_id, row) for row in rows]
