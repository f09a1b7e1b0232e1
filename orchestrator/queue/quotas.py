"""The part of the queue that counts against the limits of tenants.

Two kinds of limits. New tasks *take a place*, for the day and in what waits, before they are written anywhere. And no
more tasks of an owner, a tenant or one type of its tasks, are leased at once than its *ceiling* says: what would pass
it is held, in its order, until one of the owner's ends. Nothing here is the truth: it is counted anew from Postgres.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.profile import Bounds


class Full(IntEnum):
    """Which limit leaves no place."""

    TENANT_DAY = 1
    TYPE_DAY = 2
    TENANT_WAITING = 3
    TYPE_WAITING = 4


@dataclass(frozen=True, slots=True)
class Place:
    """What a new task asks for."""

    task_id: TaskId
    tenant: Tenant
    type: str
    has_to_come: bool
    """It is counted, and never refused."""
    bounds: Bounds
    """Of the tenant."""
    type_bounds: Bounds

    @property
    def for_the_day(self) -> bool:
        return self.bounds.tasks_per_day is not None or self.type_bounds.tasks_per_day is not None

    @property
    def in_waiting(self) -> bool:
        return self.bounds.queued is not None or self.type_bounds.queued is not None


class Unknown(Exception):
    """What these tenants have has to be counted first; no place was taken."""

    def __init__(self, tenants: set[Tenant]) -> None:
        self.tenants = tenants
        super().__init__(f"not counted yet: {', '.join(sorted(tenants))}")


class Quotas(Protocol):
    async def take(self, day: str, places: Sequence[Place]) -> list[Full | None]:
        """Take a place for each, in their order, under all of its limits or none; the limit that is reached, or None.

        Raises Unknown.
        """

    async def give_back(self, day: str, places: Sequence[Place]) -> None:
        """Give back the places of tasks that came to nothing."""

    async def count_day(self, day: str, tenant: Tenant, created: Mapping[str, int]) -> None:
        """Set what a tenant created on a day, by type, unless that is known."""

    async def count_waiting(self, tenant: Tenant, waiting: Mapping[TaskId, str]) -> None:
        """Count these tasks of a tenant in, with their types, and take what waits of it to be known."""

    async def uncount(self, ids: Sequence[TaskId]) -> None:
        """Take tasks out of what waits."""

    async def waiting(self, tenant: Tenant) -> list[TaskId]:
        """The tasks of a tenant that are counted as waiting."""

    async def forget_counts(self, day: str, tenants: Collection[Tenant]) -> None:
        """Forget what these tenants have: it was not all counted here."""

    async def copy_profiles(self, copies: Mapping[Tenant, bytes]) -> None:
        """Keep copies of profiles, for processes that start while Postgres is away."""

    async def profile_copies(self) -> dict[Tenant, bytes]:
        """Return the copies there are."""

    async def bound(self, ceilings: Mapping[str, int]) -> bool:
        """Set all ceilings there are; True when owners came to it: their leases are to be counted first."""

    async def first_held(self, limit: int) -> list[TaskId]:
        """The tasks that are held and come next, as many of each owner and queue."""

    async def recount(
        self, limit: int, owners: Sequence[tuple[TaskId, Tenant, str]], *, asserted: bool
    ) -> tuple[int, list[TaskId]]:
        """Count the leases of limited owners anew, and let held tasks come for which there is room, about `limit`.

        `owners` are of leases whose tasks the queue does not know. With `asserted` all leases are there: if it is
        known whose they are, limited tasks may be claimed in this epoch. Returns how many came, and the leases that
        nobody knows.
        """
