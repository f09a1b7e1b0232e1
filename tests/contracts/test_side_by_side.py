"""Redis and the reference model, played side by side with the same acts: the same answers, and nothing ever lost."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orchestrator.domain.ids import TaskId, WorkerId, task_id
from orchestrator.domain.outbox import Durability, KeyHold, RecordKind, Waiting
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry
from orchestrator.queue.connect import connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.memory import MemoryQueue
from orchestrator.queue.port import EpochMissing, Held, Live, Popped, Queue, QueuePaused, Standing
from orchestrator.queue.redis import RedisQueue
from tests.contracts.popping_rules import LONG_MS, QUEUES, SHORT_MS, PoppingRules
from tests.contracts.quota_rules import QuotaRules, held_keys, owner_for
from tests.queue.entries import HOUR_US, ONE, STEP_US, SWEEPER, TWO, acceptance, ending, entry, hold, placeless, write

T = TypeVar("T")

IDS = [task_id(1_760_000_000_000, number) for number in range(8)]
FOREVER = 100
READY_US = [None, -HOUR_US * 3 // 2, -10_000_000, HOUR_US]
"""Against now: at once, long ago, just now, far ahead. Nothing becomes due or expires while a step runs."""
ENDINGS = [State.SUCCEEDED, State.FAILED, State.WAITING, State.QUEUED, State.RETRYING]


class Wanted(NamedTuple):
    """What a task is put in with."""

    id: TaskId
    queue: str
    priority: int
    ready: int | None
    retrying: bool
    restored: bool
    attempt: int
    expires: bool
    key: KeyHold | None


KEYS = [
    None,
    *(
        hold(name, fingerprint=name.encode(), until_final=final, hold_ms=hold_ms)
        for name in ("a", "b")
        for final in (False, True)
        for hold_ms in (LONG_MS, SHORT_MS)
    ),
]
WANTED = st.lists(
    st.builds(
        Wanted, st.sampled_from(IDS), st.sampled_from(QUEUES), st.integers(0, 9), st.sampled_from(READY_US),
        st.booleans(), st.booleans(), st.integers(0, 2), st.booleans(), st.sampled_from(KEYS),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """The same claim as each queue answered it: moments differ by what passed between the two calls."""

    redis: Claim
    memory: Claim

    @property
    def lease(self) -> tuple[TaskId, Any]:
        return self.redis.entry.id, self.redis.fence


def seen(claim: Claim) -> Claim:
    """A claim without its moments."""
    return replace(claim, entry=replace(claim.entry, ready_at_us=None), claimed_at_us=0, waited_us=0)


def steady(live: Live) -> Live:
    return replace(live, started_at_us=live.started_at_us and 1)


def settled(standing: Standing) -> Standing:
    due_in_minutes = standing.due_in_us and round(standing.due_in_us / 60_000_000)
    return replace(standing, live=standing.live and steady(standing.live), due_in_us=due_in_minutes)


def known(held: Held | None) -> Held | None:
    return held and replace(held, live=steady(held.live), entry=replace(held.entry, ready_at_us=None))


async def answer(act: Awaitable[T]) -> T | type[Exception]:
    try:
        return await act
    except (EpochMissing, QueuePaused) as refusal:
        return type(refusal)


class SideBySide(QuotaRules, PoppingRules, RuleBasedStateMachine):
    def __init__(self, url: str, loop: asyncio.Runner) -> None:
        super().__init__()
        self.loop = loop
        self.clients = connect(url)
        self.keys = Keys("side")
        self.redis = RedisQueue(*self.clients, self.keys, STEP_US)
        self.now_us = 0
        self.sequence = 0
        self.highest_fence = 0
        self.claims: list[Pair] = []
        self.popped: list[Popped] = []
        self.owed: list[tuple[Waiting, Waiting]] = []
        self.memory = self.fresh()

    def fresh(self) -> MemoryQueue:
        return MemoryQueue(lambda: self.now_us, STEP_US)

    def run(self, act: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(act)

    @initialize()
    def begin(self) -> None:
        self.run(self.empty())
        self.open_epoch(late=False)
        self.run(self.redis.claim(ONE, "nobody-knows", 1, LONG_MS))  # from now on the server knows the script

    def teardown(self) -> None:
        self.run(self.close())

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()

    async def empty(self) -> None:
        await self.clients[0].flushdb()
        self.memory = self.fresh()
        self.owed = []

    async def both(self, act: Callable[[Queue], Awaitable[T]]) -> tuple[Any, Any]:
        """Do it on both, as of the same moment as far as anything that is due can tell."""
        seconds, microseconds = await self.clients[0].time()
        self.now_us = seconds * 1_000_000 + microseconds
        return await answer(act(self.redis)), await answer(act(self.memory))

    async def same(self, act: Callable[[Queue], Awaitable[T]]) -> Any:
        redis, memory = await self.both(act)
        assert redis == memory
        return redis

    async def claimed(self, act: Callable[[Queue], Awaitable[list[Claim]]], hold_ms: int) -> None:
        redis, memory = await self.both(act)
        if not isinstance(redis, list):
            assert redis is memory
            return
        assert [seen(claim) for claim in redis] == [seen(claim) for claim in memory]
        for claim in redis:
            assert claim.fence > self.highest_fence
            assert claim.waited_us >= 0
            self.highest_fence = claim.fence
        self.claims += [Pair(*pair) for pair in zip(redis, memory, strict=True)]
        await self.run_out(hold_ms)

    async def run_out(self, hold_ms: int) -> None:
        if hold_ms == SHORT_MS:
            await asyncio.sleep(0.003)

    def entries(self, wanted: list[Wanted]) -> list[Entry]:
        return [
            entry(
                id=each.id, queue=each.queue, priority=each.priority,
                ready_at_us=None if each.ready is None else self.now_us + each.ready, retrying=each.retrying,
                restored=each.restored, attempt=each.attempt, expires_at_us=self.now_us - 1 if each.expires else None,
                **owner_for(each.id),
            )
            for each in wanted
        ]  # fmt: skip

    @rule(wanted=WANTED, keyed=st.booleans())
    def enqueue(self, wanted: list[Wanted], keyed: bool) -> None:
        entries = self.entries(wanted)
        keys = {each.id: each.key for each in wanted if each.key} if keyed else {}
        self.run(self.same(lambda queue: queue.enqueue(entries, keys)))
        self.run(self.run_out(SHORT_MS if keys else LONG_MS))

    @rule(wanted=WANTED, unsure=st.booleans())
    def accept(self, wanted: list[Wanted], unsure: bool) -> None:
        withdrawal = b"withdraw" if unsure else None
        entries = zip(self.entries(wanted), wanted, strict=True)
        acceptances = [acceptance(task, each.key, withdrawal) for task, each in entries]

        async def act(queue: Queue) -> list[Any]:
            answers, durability = await queue.accept(acceptances)
            assert durability is Durability.MEMORY
            return answers

        self.run(self.same(act))
        self.run(self.run_out(SHORT_MS))

    @precondition(lambda self: self.claims)
    @rule(draw=st.data(), step=st.sampled_from([None, ("a", b"1"), ("b", b"2")]))
    def record(self, draw: st.DataObject, step: tuple[str, bytes] | None) -> None:
        pairs = draw.draw(st.lists(st.sampled_from(self.claims[-3:]) | st.sampled_from(self.claims), max_size=3))
        kind = RecordKind.START if step is None else RecordKind.STEP
        worker = pairs[0].redis.worker if pairs else ONE
        writes = [write(pair.redis, kind, step=step) for pair in pairs]
        self.run(self.same(lambda queue: queue.record(worker, writes)))

    @rule(draw=st.data())
    def applied(self, draw: st.DataObject) -> None:
        """Any records, out of order too, and some that were applied before."""
        redis, memory = self.run(self.both(lambda queue: queue.outbox(FOREVER)))
        self.owed = [*self.owed[-5:], *zip(redis, memory, strict=True)]
        chosen = draw.draw(st.lists(st.sampled_from(self.owed), max_size=6)) if self.owed else []
        self.run(self.same(lambda queue: queue.applied([pair[queue is self.memory] for pair in chosen])))

    @precondition(lambda self: self.claims)
    @rule(draw=st.data(), worker=st.sampled_from([ONE, TWO, SWEEPER]), hold_ms=st.sampled_from([LONG_MS, SHORT_MS]))
    def extend(self, draw: st.DataObject, worker: WorkerId, hold_ms: int) -> None:
        pairs = st.lists(st.sampled_from(self.claims), unique_by=lambda pair: pair.redis.entry.id, max_size=4)
        held = [pair.lease for pair in draw.draw(pairs)]
        self.run(self.same(lambda queue: queue.extend(worker, held, hold_ms)))
        self.run(self.run_out(hold_ms))

    @precondition(lambda self: self.claims)
    @rule(
        draw=st.data(), state=st.sampled_from(ENDINGS), soon=st.booleans(), crashes=st.integers(0, 2),
        owed=st.booleans(),
    )  # fmt: skip
    def settle(self, draw: st.DataObject, state: State, soon: bool, crashes: int, owed: bool) -> None:
        """Any claim of the past, also one that was lost, settled or dropped long ago."""
        pair = draw.draw(st.sampled_from(self.claims[-3:]) | st.sampled_from(self.claims))
        given = {"crashes": crashes, "delay_us": (0 if soon else HOUR_US) if state is State.RETRYING else None}
        worker = pair.redis.worker

        async def act(queue: Queue) -> list[bool]:
            claim = pair.redis if queue is self.redis else pair.memory
            return await queue.settle(worker, [ending(claim, state, **given)], (), [b"ended"] if owed else [])

        self.run(self.same(act))

    @rule(hold_ms=st.sampled_from([LONG_MS, SHORT_MS]))
    def take_over(self, hold_ms: int) -> None:
        forgotten: list[list[TaskId]] = []

        async def act(queue: Queue) -> list[Claim]:
            claims, ids = await queue.take_over(SWEEPER, FOREVER, hold_ms)
            forgotten.append(sorted(ids))
            return claims

        self.run(self.claimed(act, hold_ms))
        assert forgotten[:1] == forgotten[1:]

    @precondition(lambda self: self.claims)
    @rule(draw=st.data())
    def forget(self, draw: st.DataObject) -> None:
        pair = draw.draw(st.sampled_from(self.claims[-3:]) | st.sampled_from(self.claims))
        self.run(self.same(lambda queue: queue.forget(pair.redis.worker, [pair.lease])))

    @rule(limit=st.sampled_from([1, FOREVER]))
    def promote(self, limit: int) -> None:
        self.run(self.same(lambda queue: queue.promote(limit)))

    @rule()
    def put_back(self) -> None:
        redis, memory = self.run(self.both(lambda queue: queue.put_back(FOREVER)))
        assert sorted(redis) == sorted(memory)

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=2))
    def drop(self, ids: list[TaskId]) -> None:
        self.run(self.same(lambda queue: queue.drop(ids)))

    @rule(name=st.sampled_from(QUEUES), chance=st.integers(0, 3))
    def pause_or_resume(self, name: str, chance: int) -> None:
        self.run(self.same(lambda queue: queue.pause(name) if chance == 3 else queue.resume(name)))

    @rule()
    def mint(self) -> None:
        fence = self.run(self.same(lambda queue: queue.mint()))
        if fence is not EpochMissing:
            assert fence > self.highest_fence
            self.highest_fence = fence

    @rule(late=st.booleans())
    def open_epoch(self, late: bool) -> None:
        """As Postgres gives them out; now and then one that lost the race comes late."""
        epoch = self.sequence if late and self.memory._epoch else self.sequence + 1
        self.sequence = max(epoch, self.sequence)
        self.run(self.same(lambda queue: queue.open_epoch(epoch)))

    @rule(chance=st.integers(0, 7), reopened=st.booleans())
    def flush(self, chance: int, reopened: bool) -> None:
        if chance == 7:
            self.run(self.empty())
            if reopened:
                self.open_epoch(late=False)

    @rule(task=st.sampled_from(IDS))
    def standing(self, task: TaskId) -> None:
        redis, memory = self.run(self.both(lambda queue: queue.standing(task)))
        assert settled(redis) == settled(memory)

    @invariant()
    def both_say_the_same(self) -> None:
        async def look() -> None:
            await self.same(lambda queue: queue.missing(IDS))
            redis, memory = await self.both(lambda queue: queue.live(IDS))
            assert {each: steady(live) for each, live in redis.items()} == {
                each: steady(live) for each, live in memory.items()
            }
            for each in IDS:
                redis, memory = await self.both(lambda queue, each=each: queue.held(each))
                assert known(redis) == known(memory)
                await self.same(lambda queue, each=each: queue.steps(each))
            redis, memory = await self.both(lambda queue: queue.outbox(FOREVER))
            assert [placeless(one) for one in redis] == [placeless(one) for one in memory]
            redis, memory = await self.both(lambda queue: queue.leased())
            assert sorted(redis) == sorted(memory)
            for name in QUEUES:
                redis, memory = await self.both(lambda queue, name=name: queue.pending(name, 0, FOREVER))
                assert sorted(redis) == sorted(memory)
            redis, memory = await self.both(lambda queue: queue.queues())
            assert [replace(one, oldest_us=0) for one in redis] == [replace(one, oldest_us=0) for one in memory]
            assert all(abs(a.oldest_us - b.oldest_us) < 5_000_000 for a, b in zip(redis, memory, strict=True))

        self.run(look())

    @invariant()
    def every_task_is_in_exactly_one_place(self) -> None:
        async def look() -> None:
            keys, pipeline = self.keys, self.clients[0].pipeline(transaction=False)
            for each in IDS:
                pipeline.hmget(keys.task(each), "task", "lease", "record")
            order = (*map(keys.pending, QUEUES), *map(keys.queue, QUEUES), *held_keys(keys, QUEUES))
            for key in (keys.scheduled, keys.leases, *order):
                pipeline.zrange(key, 0, -1, withscores=True)
            replies = await pipeline.execute()
            rows = dict(zip([each.encode() for each in IDS], replies, strict=False))
            tasks = {each for each, (task, _, over) in rows.items() if task and not over}
            leased = {each for each, (_, lease, _) in rows.items() if lease}
            scheduled, leases, *waiting = (dict(reply) for reply in replies[len(IDS) :])
            pending, queues, held = waiting[: len(QUEUES)], waiting[len(QUEUES) : 4], waiting[4:]
            places = [*scheduled, *leased, *(each for places in (*pending, *held) for each in places)]
            assert sorted(places) == sorted(tasks)
            assert leased <= leases.keys()
            assert all(queue.items() <= order.items() for queue, order in zip(queues, pending, strict=True))

        self.run(look())


def test_redis_and_the_model_answer_alike_and_lose_nothing(redis_url: str) -> None:
    """A short game, the same each time; a long one, another each time, is played by hand without `derandomize`."""
    with asyncio.Runner() as loop:
        run_state_machine_as_test(
            lambda: SideBySide(redis_url, loop),
            settings=settings(
                max_examples=max(1, settings().max_examples // 4),
                stateful_step_count=40,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
