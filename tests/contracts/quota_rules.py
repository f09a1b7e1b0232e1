"""Limits of tenants in the side-by-side game: places are taken and given back, ceilings come and go, leases counted."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from orchestrator.domain.ids import TaskId, Tenant, task_id
from orchestrator.domain.profile import Bounds, owner_of
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import Queue
from orchestrator.queue.quotas import Place, Unknown

TENANTS, TYPES = [Tenant("acme"), Tenant("other")], ["resize", "render"]
OWNERS = [*TENANTS, *(owner_of(tenant, name) for tenant in TENANTS for name in TYPES)]
IDS = [task_id(1_760_000_000_000, number) for number in range(8)]
DAY = "20261120"
MOST = st.sampled_from([None, 0, 1, 2])
BOUNDS = st.builds(Bounds, MOST, st.none(), MOST)


def owner_for(task: TaskId) -> dict[str, Any]:
    """Whose a task is: five of the first tenant, of two types."""
    number = IDS.index(task)
    return {"tenant": TENANTS[number % 4 == 3], "type": TYPES[number % 2]}


def held_keys(keys: Keys, queues: list[str]) -> list[str]:
    return [f"{keys.quota}:held:{owner}\0{queue}" for owner in OWNERS for queue in queues]


class QuotaRules:
    """A part of the machine, which plays the acts on both queues."""

    run: Any
    same: Any
    both: Any

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=4), tenant=BOUNDS, kind=BOUNDS, comes=st.booleans())
    def take(self, ids: list[TaskId], tenant: Bounds, kind: Bounds, comes: bool) -> None:
        places = [Place(each, **owner_for(each), has_to_come=comes, bounds=tenant, type_bounds=kind) for each in ids]

        async def act(queue: Queue) -> Any:
            try:
                return await queue.take(DAY, places)
            except Unknown as unknown:
                return unknown.tenants

        self.run(self.same(act))

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=2), kind=BOUNDS)
    def give_back(self, ids: list[TaskId], kind: Bounds) -> None:
        places = [Place(each, **owner_for(each), has_to_come=False, bounds=Bounds(), type_bounds=kind) for each in ids]
        self.run(self.same(lambda queue: queue.give_back(DAY, places)))

    @rule(tenant=st.sampled_from(TENANTS), count=st.integers(0, 2), ids=st.sets(st.sampled_from(IDS), max_size=2))
    def count(self, tenant: Tenant, count: int, ids: set[TaskId]) -> None:
        own = {each: owner_for(each)["type"] for each in sorted(ids) if owner_for(each)["tenant"] == tenant}

        async def act(queue: Queue) -> None:
            await queue.count_day(DAY, tenant, {"render": count})
            await queue.count_waiting(tenant, own)

        self.run(self.same(act))

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=2))
    def uncount(self, ids: list[TaskId]) -> None:
        self.run(self.same(lambda queue: queue.uncount(ids)))

    @rule(tenant=st.sampled_from(TENANTS))
    def waiting(self, tenant: Tenant) -> None:
        self.run(self.same(lambda queue: queue.waiting(tenant)))

    @rule(ceilings=st.dictionaries(st.sampled_from(OWNERS), st.integers(0, 2), max_size=3), counted=st.booleans())
    def bound(self, ceilings: dict[str, int], counted: bool) -> None:
        self.run(self.same(lambda queue: queue.bound(ceilings)))
        if counted:
            self.recount(asserted=True, told=True)

    @rule(asserted=st.booleans(), told=st.booleans())
    def recount_leases(self, asserted: bool, told: bool) -> None:
        self.recount(asserted, told)

    def recount(self, asserted: bool, told: bool) -> None:
        owners = [(each, owner_for(each)["tenant"], owner_for(each)["type"]) for each in IDS] if told else []
        redis, memory = self.run(self.both(lambda queue: queue.recount(100, owners, asserted=asserted)))
        assert (redis[0], sorted(redis[1])) == (memory[0], sorted(memory[1]))
