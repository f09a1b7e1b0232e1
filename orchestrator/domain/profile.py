"""A tenant's profile: how much of the system it may use; and the tenant as the list of all shows it.

A limit that is None does not bind. Those of a type of task bind beside those of the tenant, never instead of them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, time, timedelta

from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import DayLimits, to_usd

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


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What there is of a tenant."""

    profile: Profile
    money: DayLimits
    spent_nano: int
    """Today, on models."""
    keys: int
    """API keys that open something."""
    last_task_at: datetime | None
    """When the newest task that is kept was created."""


def types_of(document: Mapping[str, Mapping[str, int | None]]) -> dict[str, Bounds]:
    """Return what `Profile.types` was before it was written as JSON."""
    return {name: Bounds(**bounds) for name, bounds in document.items()}


def spelled(profile: Profile, money: DayLimits) -> dict[str, int | float]:
    """Return the limits that are set by the names that the command line has for them."""
    own = {**asdict(profile.bounds), "requests_per_minute": profile.requests_per_minute}
    of_types = {f"{kind}.{name}": most for kind, own in profile.types.items() for name, most in asdict(own).items()}
    dollars = {f"{kind}.usd_per_day": to_usd(nano) for kind, nano in money.by_type.items()}
    whole = None if money.nano is None else to_usd(money.nano)
    every = {**own, "usd_per_day": whole, **of_types, **dollars}
    return {name: most for name, most in every.items() if most is not None}


def owner_of(tenant: Tenant, type_name: str) -> str:
    """Name a type of a tenant's tasks; neither name can hold the character between them."""
    return f"{tenant}\0{type_name}"


def seconds_to_midnight(now: datetime) -> int:
    """How long the day (UTC) still takes, rounded up."""
    midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
    return max(1, -int((now - midnight) // timedelta(seconds=1)))
