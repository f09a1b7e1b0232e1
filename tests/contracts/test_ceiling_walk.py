"""Redis and the model under changing ceilings, in random walks: alike, never over a ceiling, and nothing stays held."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from orchestrator.domain.ids import Tenant
from orchestrator.domain.profile import owner_of
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry
from orchestrator.queue.keys import Keys
from orchestrator.queue.memory import MemoryQueue
from orchestrator.queue.port import Queue
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import HOLD_MS, ONE, STEP_US, SWEEPER, ending, entry

TENANTS, TYPES, QUEUES = [Tenant("acme"), Tenant("other")], ["resize", "render"], ["default", "mails"]
OWNERS = [*TENANTS, *(owner_of(tenant, name) for tenant in TENANTS for name in TYPES)]
ENDINGS = [State.SUCCEEDED] * 4 + [State.QUEUED, State.WAITING]
STEPS = 120


class Walk:
    """The same acts on both, and what has to be so after each."""

    def __init__(self, redis: Queue, memory: Queue, random: Random) -> None:
        self.both = (redis, memory)
        self.random = random
        self.live: dict[str, Entry] = {}
        self.leases: dict[str, tuple[Claim, Claim]] = {}
        self.ceilings: dict[str, int] = {}
        self.held = self.moment = 0

    async def each(self, act: Any) -> tuple[Any, Any]:
        return await act(self.both[0]), await act(self.both[1])

    async def put(self) -> None:
        self.moment += 1
        random = self.random
        fresh = [
            entry(tenant=random.choice(TENANTS), type=random.choice(TYPES), queue=random.choice(QUEUES),
                  priority=random.randrange(3), ready_at_us=1_700_000_000_000_000 + 10 * self.moment + place)
            for place in range(random.randint(1, 4))
        ]  # fmt: skip
        self.live |= {each.id: each for each in fresh}
        await self.each(lambda queue: queue.enqueue(fresh))

    async def claim(self, name: str | None = None, limit: int | None = None) -> int:
        name, limit = name or self.random.choice(QUEUES), limit or self.random.randint(1, 3)
        popped = None
        if self.random.random() < 0.3 and await self.both[1].pending(name, 0, 1):
            one, two = await self.each(lambda queue: queue.pop([name], 0.01))
            assert one == two
            popped = one and one.id
        redis, memory = await self.each(lambda queue: queue.claim(ONE, name, limit, HOLD_MS, popped))
        assert [each.entry.id for each in redis] == [each.entry.id for each in memory]
        self.leases |= {pair[0].entry.id: pair for pair in zip(redis, memory, strict=True)}
        running = Counter(self.owners())
        over = {owner: running[owner] for owner in self.ceilings if running[owner] > self.ceilings[owner]}
        assert not over or not redis or all(self.old[owner] >= over[owner] for owner in over)
        self.old = running
        return len(redis)

    def owners(self) -> list[str]:
        entries = [pair[0].entry for pair in self.leases.values()]
        return [owner for each in entries for owner in (each.tenant, owner_of(each.tenant, each.type))]

    async def end(self, state: State | None = None) -> None:
        if self.leases:
            state = state or self.random.choice(ENDINGS)
            redis, memory = self.leases.pop(self.random.choice(sorted(self.leases)))
            if state is not State.QUEUED:
                del self.live[redis.entry.id]
            pair = {id(self.both[0]): redis, id(self.both[1]): memory}
            assert await self.each(lambda queue: queue.settle(ONE, [ending(pair[id(queue)], state)])) == (
                [True],
                [True],
            )
            self.old = Counter(self.owners())

    async def drop(self) -> None:
        if self.live:
            chosen = self.random.sample(sorted(self.live), min(len(self.live), self.random.randint(1, 2)))
            await self.each(lambda queue: queue.drop(chosen))
            for each in chosen:
                del self.live[each]
                self.leases.pop(each, None)
            self.old = Counter(self.owners())

    async def forget(self) -> None:
        if self.leases:
            redis, _ = self.leases.pop(self.random.choice(sorted(self.leases)))
            del self.live[redis.entry.id]
            lease = (redis.entry.id, redis.fence)
            assert await self.each(lambda queue: queue.forget(ONE, [lease])) == ([lease[0]], [lease[0]])
            self.old = Counter(self.owners())

    async def bound(self) -> None:
        owners = self.random.sample(OWNERS, self.random.randint(0, 3))
        self.ceilings = {owner: self.random.randint(1, 3) for owner in owners}
        one, two = await self.each(lambda queue: queue.bound(self.ceilings))
        assert one == two
        if self.random.random() < 0.8:
            assert len({str(each) for each in await self.each(lambda queue: queue.recount(99, [], asserted=True))}) == 1

    async def look(self) -> None:
        for name in QUEUES:
            one, two = await self.each(lambda queue, name=name: queue.pending(name, 0, 999))
            assert one == two
        for each in sorted(self.live):
            one, two = await self.each(lambda queue, each=each: queue.standing(each))
            assert (one.held_by, one.rank) == (two.held_by, two.rank)
            self.held += one.held_by is not None
            assert (each in self.leases) + (one.rank is not None) + (one.held_by is not None) == 1
        one, two = await self.each(lambda queue: queue.first_held(999))
        assert sorted(one) == sorted(two)
        assert await self.each(lambda queue: queue.missing(sorted(self.live))) == ([], [])
        assert await self.each(lambda queue: queue.take_over(SWEEPER, 9, HOLD_MS)) == (([], []), ([], []))


@pytest.mark.parametrize("seed", range(4))
async def test_both_hold_and_let_come_alike_and_whatever_is_held_comes(
    seed: int, redis_clients: tuple[Redis, Redis]
) -> None:
    redis = RedisQueue(*redis_clients, Keys(), STEP_US)
    walk = Walk(redis, MemoryQueue(lambda: 1_800_000_000_000_000, STEP_US), Random(seed))
    walk.old = Counter()
    await walk.each(lambda queue: queue.open_epoch(1))
    acts = [walk.put] * 4 + [walk.claim] * 5 + [walk.end] * 4 + [walk.drop, walk.forget, walk.bound, walk.bound]
    for _ in range(STEPS):
        await walk.random.choice(acts)()
        await walk.look()
    assert walk.held
    await walk.each(lambda queue: queue.recount(99, [], asserted=True))
    # From here on nobody counts anew: each end alone lets the next come.
    while walk.live:
        await walk.each(lambda queue: queue.put_back(99))
        taken = sum([await walk.claim(name, 1) for name in QUEUES])
        assert taken or walk.leases, f"{len(walk.live)} tasks never come"
        await walk.end(State.SUCCEEDED)
