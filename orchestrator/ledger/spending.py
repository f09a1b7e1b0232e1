"""Spending: what model calls may cost, and what they came to.

What is granted never goes over a limit, however many ask at once: sums are decided on under the locks of the rows that
hold them. An attempt that runs no more has no reservations, whether or not its rows are still there.
"""

from collections.abc import Sequence
from datetime import date

import asyncpg
import orjson

from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import ModelUse, Reservation, Spend, Standing
from orchestrator.domain.task import Claim
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("spending")
_SYSTEM = ""
"""Stands for the whole system where a tenant is named."""


class Spending:
    _database: Database
    _unhurried: Database

    async def reserve(
        self,
        claim: Claim,
        reservation_id: str,
        provider: str,
        model: str,
        amount_nano: int,
        *,
        task_limit_nano: int | None,
        day_limit_nano: int,
    ) -> Reservation | Standing | None:
        """Set an amount aside; else return the limit that does not allow it, or None: the attempt is not on record.

        `day_limit_nano` is the system's limit where none was set. The same id again is the same reservation.
        """
        entry, fence = claim.entry, claim.fence
        amounts = (amount_nano, task_limit_nano, day_limit_nano)
        asked = (_SQL["reserve"], reservation_id, entry.id, fence, provider, model, *amounts)
        (row,) = await self._database.rows(*asked)
        while row["running"] and row["granted_on"] is None and row["scope"] is None:
            # Neither granted nor refused: it is the first of its day, or an earlier try of it was granted this moment.
            await self._database.change(_SQL["open_day"], entry.tenant)
            (row,) = await self._database.rows(*asked)
        if not row["running"]:
            return None
        if row["granted_on"] is None:
            return _standing_of(row)
        return Reservation(
            reservation_id, entry.id, entry.tenant, fence, provider, model, amount_nano, row["granted_on"]
        )

    async def spend(self, spend: Spend, *, day_limit_nano: int) -> tuple[bool, list[Standing]]:
        """Settle a reservation to what the call came to; return whether it was stale, and how the day's limits stand.

        Told again, or told late, when its reservation was released meanwhile: it counts once.
        """
        held = spend.reservation
        rows = await self._database.rows(
            _SQL["spend"],
            *(held.id, held.task_id, held.tenant, held.fence, held.provider, held.model, held.day, spend.step),
            *(spend.input_tokens, spend.output_tokens, spend.cached_tokens, spend.cache_write_tokens),
            *(spend.cost_nano, orjson.dumps(spend.price).decode(), spend.ok, day_limit_nano),
        )
        return any(row["stale"] for row in rows), [_standing_of(row) for row in rows]

    async def unreserve(self, reservation_ids: Sequence[str]) -> int:
        """Take reservations away of which nothing was used; return how many were there."""
        released: int = await self._database.value(_SQL["unreserve"], reservation_ids)
        return released

    async def dead_reservations(self, limit: int) -> list[str]:
        """Return reservations of attempts that run no more."""
        return [row["id"] for row in await self._database.rows(_SQL["dead_reservations"], limit)]

    async def note_warning(self, standing: Standing, tenant: Tenant, percentage: int) -> bool:
        """Note that people are told of this; False when they were told of as much today."""
        scope = _SYSTEM if standing.scope == "day" else tenant
        return await self._database.value(_SQL["note_warning"], scope, standing.day, percentage) is True

    async def standing(self, tenant: Tenant, *, day_limit_nano: int) -> list[Standing]:
        """Return how today's limits stand: the system's and the tenant's."""
        return [_standing_of(row) for row in await self._database.rows(_SQL["standing"], tenant, day_limit_nano)]

    async def usage_by_model(self, tenant: Tenant | None) -> list[ModelUse]:
        """Return what a tenant's calls of today came to by model, or everybody's; the dearest first."""
        return [ModelUse(**row) for row in await self._database.rows(_SQL["usage_by_model"], tenant)]

    async def set_budget(self, tenant: Tenant | None, limit_nano: int | None) -> None:
        """Set what a tenant, or the whole system, may spend in a day; None: as if none had ever been set."""
        await self._database.change(_SQL["set_budget"], tenant or _SYSTEM, limit_nano)

    async def forget_usage(self, before: date, limit: int) -> int:
        """Delete the usage of days before one, at most so many calls of it; return how many."""
        return await self._unhurried.change(_SQL["forget_usage"], before, limit)


def _standing_of(row: asyncpg.Record) -> Standing:
    return Standing(row["scope"], row["day"], row["spent_nano"], row["reserved_nano"], row["limit_nano"], row["warned"])
