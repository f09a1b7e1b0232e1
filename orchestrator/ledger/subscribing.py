"""Subscribing: who wants to be told of final states. Every statement names the tenant."""

from collections.abc import Sequence

import asyncpg

from orchestrator.domain.ids import Tenant
from orchestrator.domain.signing import Generation
from orchestrator.domain.states import State
from orchestrator.domain.subscription import MOST_SUBSCRIPTIONS, Subscription, SubscriptionId
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("subscribing")


class Subscribing:
    _database: Database

    async def subscribe(
        self,
        tenant: Tenant,
        wanted: SubscriptionId,
        url: str,
        types: Sequence[str] | None,
        states: Sequence[State] | None,
        description: str,
    ) -> Subscription | None:
        """Store a subscription; None when the tenant has as many as it may."""
        row = await self._database.of(tenant).row(
            _SQL["subscribe"], wanted, tenant, url, types, states, description, MOST_SUBSCRIPTIONS
        )
        return None if row is None else _subscription_of(row)

    async def subscriptions(self, tenant: Tenant) -> list[Subscription]:
        """Return all of a tenant, the newest first."""
        return [_subscription_of(row) for row in await self._database.of(tenant).rows(_SQL["subscriptions"], tenant)]

    async def subscription(self, tenant: Tenant, wanted: SubscriptionId) -> Subscription | None:
        row = await self._database.of(tenant).row(_SQL["subscription"], tenant, wanted)
        return None if row is None else _subscription_of(row)

    async def unsubscribe(self, tenant: Tenant, wanted: SubscriptionId) -> bool:
        """Delete a subscription; False when this tenant has none of this id."""
        return bool(await self._database.of(tenant).value(_SQL["unsubscribe"], tenant, wanted))

    async def enable(self, tenant: Tenant, wanted: SubscriptionId) -> Subscription | None:
        """Tell it again of what ends from now on, with its failures forgotten."""
        row = await self._database.of(tenant).row(_SQL["enable"], tenant, wanted)
        return None if row is None else _subscription_of(row)

    async def rotate(self, tenant: Tenant, wanted: SubscriptionId) -> Subscription | None:
        """Begin the next generation of its secret."""
        row = await self._database.of(tenant).row(_SQL["rotate"], tenant, wanted)
        return None if row is None else _subscription_of(row)

    async def callback_secret(self, tenant: Tenant) -> Generation:
        """Return which secret signs what goes to callback URLs."""
        row = await self._database.of(tenant).row(_SQL["callback_secret"], tenant)
        return Generation() if row is None else Generation(row["generation"], row["rotated_at"])

    async def rotate_callback_secret(self, tenant: Tenant) -> Generation:
        """Begin the next generation of it; the first call begins none, for nobody knows the first yet."""
        (row,) = await self._database.of(tenant).rows(_SQL["rotate_callback_secret"], tenant)
        return Generation(row["generation"], row["rotated_at"])


def _subscription_of(row: asyncpg.Record) -> Subscription:
    return Subscription(
        row["id"],
        Tenant(row["tenant"]),
        row["url"],
        row["types"],
        None if row["states"] is None else [State(state) for state in row["states"]],
        row["description"],
        Generation(row["generation"], row["rotated_at"]),
        row["failures"],
        row["disabled_at"],
        row["disabled_reason"],
        row["created_at"],
    )
