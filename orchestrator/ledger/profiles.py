"""Profiles: each tenant's limits, and what is counted against them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
import orjson

from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.money import DayLimits
from orchestrator.domain.profile import Bounds, Profile, Tenancy, types_of
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("profiles")


class Profiles:
    _database: Database
    _unhurried: Database

    async def profiles_since(self, moment: datetime) -> tuple[list[Profile], datetime]:
        """Return the profiles that were set since a moment, some again, and the moment to go on from."""
        rows = await self._database.rows(_SQL["profiles_since"], moment)
        return [_read(row["tenant"], row) for row in rows], max((row["changed_at"] for row in rows), default=moment)

    async def profile_of(self, tenant: Tenant) -> tuple[Profile, DayLimits]:
        """Return a tenant's profile, empty when none was set, and what it may spend in a day."""
        row = await self._database.row(_SQL["profile_of"], tenant)
        assert row is not None  # noqa: S101 - one row, whatever is set
        return _read(tenant, row), _money_of(row)

    async def tenants(self, after: str, limit: int) -> list[Tenancy]:
        """Return tenants behind a name: those with limits, with keys, or with tasks that are kept."""
        rows = await self._database.rows(_SQL["tenants"], after, limit)
        return [
            Tenancy(_read(row["tenant"], row), _money_of(row), row["spent_nano"], row["keys"], row["last_task_at"])
            for row in rows
        ]

    async def set_profile(self, profile: Profile, money: DayLimits) -> None:
        """Set all of a tenant's limits, and its budgets with them."""
        await self._database.change(
            _SQL["set_profile"],
            profile.tenant,
            profile.bounds.tasks_per_day,
            profile.bounds.running,
            profile.bounds.queued,
            profile.requests_per_minute,
            orjson.dumps(profile.types).decode(),
            money.nano,
            list(money.by_type),
            list(money.by_type.values()),
        )

    async def created_since(self, tenant: Tenant, first: TaskId) -> Mapping[str, int]:
        """Return how many tasks a tenant created since the moment at which an id was made, by type."""
        rows = await self._unhurried.rows(_SQL["created_since"], tenant, first)
        return {row["type"]: row["tasks"] for row in rows}

    async def unbegun(self, tenant: Tenant) -> Mapping[TaskId, str]:
        """Return a tenant's tasks that no attempt has begun, and their types."""
        return {TaskId(row["id"]): row["type"] for row in await self._unhurried.rows(_SQL["unbegun"], tenant)}

    async def owners_of(self, ids: Sequence[TaskId]) -> list[tuple[TaskId, Tenant, str]]:
        """Return the tenant and the type of each of these tasks that is on record."""
        rows = await self._database.rows(_SQL["owners_of"], ids)
        return [(TaskId(row["id"]), Tenant(row["tenant"]), row["type"]) for row in rows]


def _read(tenant: str, row: asyncpg.Record) -> Profile:
    return Profile(
        tenant=Tenant(tenant),
        bounds=Bounds(row["tasks_per_day"], row["running"], row["queued"]),
        requests_per_minute=row["requests_per_minute"],
        types=types_of(orjson.loads(row["types"] or "{}")),
    )


def _money_of(row: asyncpg.Record) -> DayLimits:
    return DayLimits(row["limit_nano"], orjson.loads(row["type_limits"] or "{}"))
