"""Announcing: the notes of who is still to be told how a task ended. Triggers write them, with the ending.

A note is read and later removed, never taken: whoever dies in between leaves it to be read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.domain.ids import Fence, TaskId, Tenant, first_id
from orchestrator.domain.states import State
from orchestrator.domain.subscription import Callback, SubscriptionId
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("announcing")

LONGEST_LIFE = timedelta(days=30)
"""Of a task that is announced again: what was created longer before is not looked for."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """A subscription that was disabled by what its endpoint answered."""

    id: SubscriptionId
    tenant: Tenant
    reason: str


class Announcing:
    _database: Database
    _unhurried: Database

    async def callbacks(self, after: int, limit: int) -> list[Callback]:
        """Return the oldest notes behind an id."""
        rows = await self._database.rows(_SQL["callbacks"], after, limit)
        return [
            Callback(
                row["id"],
                Tenant(row["tenant"]),
                row["subscription_id"],
                row["url"],
                TaskId(row["task_id"]),
                Fence(row["fence"]),
                row["traceparent"],
                State(row["status"]),
                row["told"].encode(),
                None if row["result"] is None else row["result"].encode(),
                row["ended_at"],
            )
            for row in rows
        ]

    async def forget_callbacks(self, ids: Sequence[int]) -> None:
        """Remove notes that have become tasks."""
        await self._database.change(_SQL["forget_callbacks"], ids)

    async def announce_again(self, tenant: Tenant, wanted: SubscriptionId, since: datetime, limit: int) -> int:
        """Note every task for a subscription that fits it and ended since; return how many, the newest first.

        What was told of an ending before is told no second time: its delivery has the same key.
        """
        oldest = first_id(since, -LONGEST_LIFE)
        return await self._unhurried.of(tenant).change(_SQL["announce_again"], tenant, wanted, since, oldest, limit)

    async def unreported(self) -> list[Disabled]:
        """Return the subscriptions that were disabled and that nobody was told of; each once."""
        rows = await self._database.rows(_SQL["unreported"])
        return [Disabled(row["id"], Tenant(row["tenant"]), row["disabled_reason"] or "") for row in rows]
