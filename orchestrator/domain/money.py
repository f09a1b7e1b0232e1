"""Money as data: what is reserved before a model call, and what the call came to.

Inside the system an amount is a whole number of nano-dollars, so that sums are exact; dollars as floats are for people.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from orchestrator.domain.errors import BudgetExceeded, MoneyScope
from orchestrator.domain.ids import Fence, TaskId, Tenant

NANO = 10**9
"""Nano-dollars in a dollar."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The worst case of one call, set aside while its attempt is the one on record as running."""

    id: str
    """A UUID; the call's row in `orchestrator_usage` gets the same."""
    task_id: TaskId
    tenant: Tenant
    type: str
    fence: Fence
    provider: str
    model: str
    amount_nano: int
    day: date
    """The day (UTC) it counts against; what the call costs counts against the same one."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What an attempt asks for before a call: the worst that the call may cost."""

    id: str
    """A UUID; the reservation gets the same."""
    task_id: TaskId
    tenant: Tenant
    type: str
    """The task's; its tenant may have a limit for it."""
    fence: Fence
    provider: str
    model: str
    amount_nano: int
    task_limit_nano: int | None = None
    """What all calls of the task may come to together; None: what the days allow."""

    def granted(self, day: date) -> Reservation:
        """Return what it becomes when it is granted."""
        whose = (self.task_id, self.tenant, self.type, self.fence)
        return Reservation(self.id, *whose, self.provider, self.model, self.amount_nano, day)


@dataclass(frozen=True, slots=True)
class Spend:
    """What one call came to."""

    reservation: Reservation
    step: str
    input_tokens: int
    """Includes the cached ones and those written to the cache."""
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    cost_nano: int
    price: dict[str, Any]
    """What the cost was computed from, as JSON."""
    ok: bool
    """False: the call broke, and was paid for as far as it went."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands: what it allows, and what is gone and set aside of it."""

    scope: MoneyScope
    tenant: Tenant | None
    """Whose day, type or task it limits; None: the day of the whole system."""
    day: date
    spent_nano: int
    reserved_nano: int
    limit_nano: int | None
    """None: nothing is limited."""
    warned: int = 0
    """The percentage that people were told of today; 0 for none."""
    type: str | None = None
    """Whose limit it is, if it is that of a type of the tenant's tasks."""

    @property
    def resets_at(self) -> datetime | None:
        """When it begins anew; a task's own limit never does."""
        return None if self.scope == "task" else next_day_at(self.day)

    def exceeded_by(self, asked_nano: int) -> BudgetExceeded:
        """Return the refusal of an amount that the limit does not allow."""
        return BudgetExceeded(
            self.scope,
            limit_usd=to_usd(self.limit_nano or 0),
            spent_usd=to_usd(self.spent_nano),
            reserved_usd=to_usd(self.reserved_nano),
            asked_usd=to_usd(asked_nano),
            resets_at=self.resets_at,
            task_type=self.type,
        )


@dataclass(frozen=True, slots=True)
class DayLimits:
    """What a tenant may spend in a day in nano-dollars, and of that on single types of its tasks. None: no limit."""

    nano: int | None = None
    by_type: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What the calls of one model came to in a day."""

    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_nano: int


def next_day_at(day: date) -> datetime:
    """Return the moment (UTC) at which the day after begins."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def to_nano(usd: float) -> int:
    """Return the nano-dollars of an amount as people write it: 0.1 is exactly a tenth."""
    return round(Decimal(str(usd)) * NANO)


def to_usd(nano: int) -> float:
    return nano / NANO
