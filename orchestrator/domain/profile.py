"""A tenant's profile: how much of the system it may use.

A limit that is None does not bind. Those of a type of task bind beside those of the tenant, never instead of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from orchestrator.domain.ids import Tenant

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any profile was set."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many tasks; of a tenant, or of one type of its tasks."""

    tasks_per_day: int | None = None
    """Created in a day (UTC)."""
    running: int | None = None
    """Leased at once."""
    queued: int | None = None
    """Created and not begun, due later included."""


@dataclass(frozen=True, slots=True)
class Profile:
    """All limits of one tenant but its money, which the budget keeps."""

    tenant: Tenant
    bounds: Bounds = Bounds()
    requests_per_minute: int | None = None
    types: Mapping[str, Bounds] = field(default_factory=dict)

    def of_type(self, type_name: str) -> Bounds:
        return self.types.get(type_name, _UNBOUND)

    @property
    def is_bound(self) -> bool:
        """Whether any limit is set."""
        every = (self.bounds, *self.types.values())
        return self.requests_per_minute is not None or any(bounds != _UNBOUND for bounds in every)

    @property
    def bounds_intake(self) -> bool:
        """Whether new tasks have to be counted."""
        every = (self.bounds, *self.types.values())
        return any(bounds.tasks_per_day is not None or bounds.queued is not None for bounds in every)

    @property
    def ceilings(self) -> dict[str, int]:
        """How many may run at once, by their owner as the queue names it."""
        owners = {self.tenant: self.bounds} | {owner_of(self.tenant, name): own for name, own in self.types.items()}
        return {owner: bounds.running for owner, bounds in owners.items() if bounds.running is not None}


_UNBOUND = Bounds()


def types_of(document: Mapping[str, Mapping[str, int | None]]) -> dict[str, Bounds]:
    """Return what `Profile.types` was before it was written as JSON."""
    return {name: Bounds(**bounds) for name, bounds in document.items()}


def owner_of(tenant: Tenant, type_name: str) -> str:
    """Name a type of a tenant's tasks; neither name can hold the character between them."""
    return f"{tenant}\0{type_name}"


def seconds_to_midnight(now: datetime) -> int:
    """How long the day (UTC) still takes, rounded up."""
    midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
    return max(1, -int((now - midnight) // timedelta(seconds=1)))
