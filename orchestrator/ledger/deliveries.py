"""Deliveries on record: what came by webhooks. `submission` writes each together with its task."""

from datetime import datetime

from orchestrator.domain.delivery import Arrival, DeliveryFilter, DeliveryView
from orchestrator.domain.ids import HIGHEST_ID, TaskId, Tenant
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("deliveries")


class Deliveries:
    _database: Database
    _unhurried: Database

    async def see_delivery(self, tenant: Tenant, arrival: Arrival, at: datetime) -> TaskId | None:
        """Count a repeat and return the task that the delivery became; None for one that is not on record.

        When its commit is unknown and it is asked again, the repeat may be counted twice.
        """
        task_id = await self._database.of(tenant).value(
            _SQL["see_delivery"], tenant, arrival.source, arrival.delivery_id, at
        )
        return None if task_id is None else TaskId(task_id)

    async def deliveries(
        self, tenant: Tenant, wanted: DeliveryFilter, before: TaskId | None, limit: int
    ) -> list[DeliveryView]:
        """Return deliveries that fit, the newest first, below the id `before`."""
        rows = await self._database.of(tenant).rows(
            _SQL["deliveries"], tenant, before or HIGHEST_ID, wanted.source, wanted.event, limit
        )
        return [DeliveryView(**row) for row in rows]

    async def delivery(self, tenant: Tenant, delivery_id: TaskId) -> DeliveryView | None:
        """Return one; None when this tenant has none of this id."""
        row = await self._database.of(tenant).row(_SQL["delivery"], tenant, delivery_id)
        return None if row is None else DeliveryView(**row)

    async def count_redelivery(self, tenant: Tenant, delivery_id: TaskId) -> int | None:
        """Return the number of a redelivery, from 1; each is given once. None when the delivery is gone."""
        number: int | None = await self._database.of(tenant).value(_SQL["count_redelivery"], tenant, delivery_id)
        return number

    async def forget_deliveries(self, seen_before: datetime, limit: int) -> int:
        """Delete deliveries that last came before a moment, of all tenants; return how many."""
        return await self._unhurried.change(_SQL["forget_deliveries"], seen_before, limit)
