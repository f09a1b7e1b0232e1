"""Spending: what model calls may cost, and what they came to.

What is granted never goes over a limit, however many ask at once: sums are decided on under the locks of the rows that
hold them. An attempt that runs no more has no reservations, whether or not its rows are still there.
"""

from collections.abc import Sequence
from datetime import date

import asyncpg
import orjson

from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import Ask, ModelUse, Reservation, Spend, Standing
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("spending")
_SYSTEM = ""
"""Stands for the whole system where a tenant is named."""


class Spending:
    _database: Database
    _unhurried: Database

    async def reserve(self, asks: Sequence[Ask], *, day_limit_nano: int) -> list[Reservation | Standing | None]:
        """Set amounts aside, in the order asked. Each is answered with its reservation, or with the limit that does not
        allow it, or with None: its attempt is not on record.

        `day_limit_nano` is the system's limit where none was set. The same id again is the same reservation.
        """
        answers: dict[str, Reservation | Standing | None] = {}
        left = list(asks)
        while left:
            rows = await self._database.rows(_SQL["reserve"], *_asked(left), day_limit_nano)
            answers |= {ask.id: _answer(ask, row) for ask, row in zip(left, rows, strict=True) if not _is_open(row)}
            left = [ask for ask in left if ask.id not in answers]
            if left:
                # What was refused before them leaves room for them; or they are the first of their day; or an earlier
                # try of them was granted this moment. Each round answers one at least, once the day is there.
                await self._database.change(_SQL["open_days"], [ask.tenant for ask in left], [ask.type for ask in left])
        return [answers[ask.id] for ask in asks]

    async def spend(self, spends: Sequence[Spend], *, day_limit_nano: int) -> tuple[set[str], list[Standing]]:
        """Settle reservations to what their calls came to; return the stale ones' ids, and how the days' limits stand.

        One told again, or told late, when its reservation was released meanwhile, counts once.
        """
        rows = await self._database.rows(_SQL["spend"], *_told(spends), day_limit_nano)
        return {stale for row in rows for stale in row["stale"]}, [_standing_of(row) for row in rows]

    async def unreserve(self, reservation_ids: Sequence[str]) -> int:
        """Take reservations away of which nothing was used; return how many were there."""
        released: int = await self._database.value(_SQL["unreserve"], reservation_ids)
        return released

    async def dead_reservations(self, limit: int) -> list[str]:
        """Return reservations of attempts that run no more."""
        return [row["id"] for row in await self._database.rows(_SQL["dead_reservations"], limit)]

    async def note_warning(self, standing: Standing, percentage: int) -> bool:
        """Note that people are told of this; False when they were told of as much today."""
        whose = standing.tenant or _SYSTEM
        if standing.type is None:
            noted = await self._database.value(_SQL["note_warning"], whose, standing.day, percentage)
        else:
            told = (whose, standing.type, standing.day, percentage)
            noted = await self._database.value(_SQL["note_warning_of_type"], *told)
        return noted is True

    async def standing(self, tenant: Tenant | None, *, day_limit_nano: int) -> Standing:
        """Return how today's limit of a tenant, or of the whole system, stands."""
        database = self._database if tenant is None else self._database.of(tenant)
        (row,) = await database.rows(_SQL["standing"], tenant or _SYSTEM, day_limit_nano)
        return _standing_of(row)

    async def standings_by_type(self, tenant: Tenant) -> list[Standing]:
        """Return how today stands of each type of a tenant's tasks that has a limit or cost something, dearest first.

        What a version that counted no types reserved and spent is in none of the sums.
        """
        rows = await self._database.of(tenant).rows(_SQL["standings_by_type"], tenant)
        return [_standing_of(row) for row in rows]

    async def usage_by_model(self, tenant: Tenant | None) -> list[ModelUse]:
        """Return what a tenant's calls of today came to by model, or everybody's; the dearest first."""
        database = self._database if tenant is None else self._database.of(tenant)
        return [ModelUse(**row) for row in await database.rows(_SQL["usage_by_model"], tenant)]

    async def set_budget(self, tenant: Tenant | None, limit_nano: int | None) -> None:
        """Set what a tenant, or the whole system, may spend in a day; None: as if none had ever been set.

        Tasks that wait for money are due at once.
        """
        database = self._database if tenant is None else self._database.of(tenant)
        await database.change(_SQL["set_budget"], tenant or _SYSTEM, limit_nano)

    async def forget_usage(self, before: date, limit: int) -> int:
        """Delete the usage of days before one, at most so many calls of it; return how many."""
        return await self._unhurried.change(_SQL["forget_usage"], before, limit)


def _asked(asks: Sequence[Ask]) -> tuple[list[object], ...]:
    return (
        [ask.id for ask in asks],
        [ask.task_id for ask in asks],
        [ask.fence for ask in asks],
        [ask.provider for ask in asks],
        [ask.model for ask in asks],
        [ask.amount_nano for ask in asks],
        [ask.task_limit_nano for ask in asks],
    )


def _told(spends: Sequence[Spend]) -> tuple[list[object], ...]:
    return (
        [spend.reservation.id for spend in spends],
        [spend.reservation.task_id for spend in spends],
        [spend.reservation.tenant for spend in spends],
        [spend.reservation.type for spend in spends],
        [spend.reservation.fence for spend in spends],
        [spend.reservation.provider for spend in spends],
        [spend.reservation.model for spend in spends],
        [spend.reservation.day for spend in spends],
        [spend.step for spend in spends],
        [spend.input_tokens for spend in spends],
        [spend.output_tokens for spend in spends],
        [spend.cached_tokens for spend in spends],
        [spend.cache_write_tokens for spend in spends],
        [spend.cost_nano for spend in spends],
        [orjson.dumps(spend.price).decode() for spend in spends],
        [spend.ok for spend in spends],
    )


def _is_open(row: asyncpg.Record) -> bool:
    """Neither granted nor refused, of an attempt that runs."""
    return row["tenant"] is not None and row["granted_on"] is None and row["scope"] is None


def _answer(ask: Ask, row: asyncpg.Record) -> Reservation | Standing | None:
    if row["tenant"] is None:
        return None
    return _standing_of(row) if row["granted_on"] is None else ask.granted(row["granted_on"])


def _standing_of(row: asyncpg.Record) -> Standing:
    tenant = None if row["scope"] == "day" else Tenant(row["tenant"])
    amounts = (row["spent_nano"], row["reserved_nano"], row["limit_nano"], row["warned"])
    return Standing(row["scope"], tenant, row["day"], *amounts, row["type"] if row["scope"] == "type" else None)
