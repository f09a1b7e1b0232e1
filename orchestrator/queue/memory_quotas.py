"""Quotas of the reference model: counted by looking at everything."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.profile import owner_of
from orchestrator.domain.task import Entry
from orchestrator.queue.memory_state import MemoryState, leading
from orchestrator.queue.quotas import Full, Place, Unknown


class MemoryQuotas(MemoryState):
    """Keeps the promises of quotas.Quotas."""

    async def take(self, day: str, places: Sequence[Place]) -> list[Full | None]:
        unknown = {p.tenant for p in places if p.for_the_day and (day, p.tenant) not in self._created}
        unknown |= {p.tenant for p in places if p.in_waiting and p.tenant not in self._counted}
        if unknown:
            raise Unknown(unknown)
        return [self._take(day, place) for place in places]

    def _take(self, day: str, place: Place) -> Full | None:
        created = self._created.get((day, place.tenant), {})
        waiting = [owner for owner in self._waiting.values() if owner[0] == place.tenant]
        found = (
            (place.bounds.tasks_per_day, sum(created.values()), Full.TENANT_DAY),
            (place.type_bounds.tasks_per_day, created.get(place.type, 0), Full.TYPE_DAY),
            (place.bounds.queued, len(waiting), Full.TENANT_WAITING),
            (place.type_bounds.queued, waiting.count((place.tenant, place.type)), Full.TYPE_WAITING),
        )
        reached = [full for most, count, full in found if most is not None and count >= most]
        if reached and not place.has_to_come:
            return reached[0]
        if place.for_the_day:
            created[place.type] = created.get(place.type, 0) + 1
        if place.in_waiting:
            self._waiting[place.task_id] = (place.tenant, place.type)
        return None

    async def give_back(self, day: str, places: Sequence[Place]) -> None:
        for place in places:
            created = self._created.get((day, place.tenant))
            if place.for_the_day and created is not None:
                created[place.type] = created.get(place.type, 0) - 1
        await self.uncount([place.task_id for place in places])

    async def count_day(self, day: str, tenant: Tenant, created: Mapping[str, int]) -> None:
        self._created.setdefault((day, tenant), dict(created))

    async def count_waiting(self, tenant: Tenant, waiting: Mapping[TaskId, str]) -> None:
        self._waiting |= {task_id: (tenant, type_name) for task_id, type_name in waiting.items()}
        self._counted.add(tenant)

    async def uncount(self, ids: Sequence[TaskId]) -> None:
        for task_id in ids:
            self._waiting.pop(task_id, None)

    async def waiting(self, tenant: Tenant) -> list[TaskId]:
        return sorted(task_id for task_id, owner in self._waiting.items() if owner[0] == tenant)

    async def forget_counts(self, day: str, tenants: Collection[Tenant]) -> None:
        for tenant in tenants:
            self._created.pop((day, tenant), None)
            self._counted.discard(tenant)

    async def copy_profiles(self, copies: Mapping[Tenant, bytes]) -> None:
        self._copies |= copies

    async def profile_copies(self) -> dict[Tenant, bytes]:
        return dict(self._copies)

    async def bound(self, ceilings: Mapping[str, int]) -> bool:
        anew = bool(ceilings.keys() - self._ceilings.keys())
        self._ceilings = dict(ceilings)
        if anew or not ceilings:
            self._counted_epoch = None
        return anew

    async def first_held(self, limit: int) -> list[TaskId]:
        return [task_id for held in self._held.values() for task_id, _ in leading(held, limit)]

    async def recount(
        self, limit: int, owners: Sequence[tuple[TaskId, Tenant, str]], *, asserted: bool
    ) -> tuple[int, list[TaskId]]:
        told = {task_id: (tenant, type_name) for task_id, tenant, type_name in owners}
        known = {task_id: _whose(self._records[task_id].entry) for task_id in self._leases.deadlines
                 if task_id in self._records}  # fmt: skip
        known = {task_id: told[task_id] for task_id in self._leases.deadlines if task_id in told} | known
        self._running = {task_id: who for task_id, who in known.items() if self._limits(who)}
        strange = [task_id for task_id in self._leases.deadlines if task_id not in known]
        if asserted and not strange and self._epoch and self._ceilings:
            self._counted_epoch = self._epoch
        came = 0
        for owner in sorted({owner for owner, _ in self._held}):
            room = self._room(owner)
            if self._ceilings and self._counted_epoch != self._epoch:
                room = 0
            while room > 0 and came < limit:
                moved = self._release(owner)
                if moved == 0:
                    break
                room, came = room - 1, came + moved
        return came, strange

    def _limits(self, who: tuple[Tenant, str]) -> bool:
        return who[0] in self._ceilings or owner_of(*who) in self._ceilings

    def _room(self, owner: str) -> float:
        if owner not in self._ceilings:
            return float("inf")
        return self._ceilings[owner] - sum(owner in (who[0], owner_of(*who)) for who in self._running.values())

    def _seat(self, entry: Entry, place: int) -> bool:
        """Count a task in that is about to be leased; False for one that is held instead."""
        who = _whose(entry)
        tenant, owner = who[0], owner_of(*who)
        if not self._limits(who):
            return True
        full, room = None, self._room(tenant) > 0
        if self._room(owner) <= 0:
            full = owner
        if self._counted_epoch != self._epoch or (full is None and not room):
            full = tenant
        if full is None:
            self._running[entry.id] = who
            return True
        self._pending[entry.queue].pop(entry.id, None)
        self._queue[entry.queue].pop(entry.id, None)
        self._held.setdefault((full, entry.queue), {})[entry.id] = place
        if full == owner and room:
            self._readmit((tenant, entry.queue))
        return False

    def _readmit(self, where: tuple[str, str]) -> int:
        for task_id, place in leading(self._held.get(where, {}), 1):
            del self._held[where][task_id]
            self._queue[where[1]][task_id] = self._pending[where[1]][task_id] = place
            self._arrived.set()
            return 1
        return 0

    def _release(self, owner: str) -> int:
        return sum(self._readmit(where) for where in list(self._held) if where[0] == owner)

    def _leave(self, ids: Iterable[TaskId]) -> None:
        for task_id in ids:
            self._waiting.pop(task_id, None)
            who = self._running.pop(task_id, None)
            if who is not None:
                self._release(who[0])
                self._release(owner_of(*who))

    def _held_at(self, task_id: TaskId) -> tuple[int, str] | None:
        """A held task's place, and the owner that runs its number."""
        found = ((held[task_id], owner) for (owner, _), held in self._held.items() if task_id in held)
        return next(found, None)


def _whose(entry: Entry) -> tuple[Tenant, str]:
    return entry.tenant, entry.type
