"""No more of an owner's tasks are leased at once than its ceiling says, in order, and nothing held is forgotten."""

from typing import Any

from orchestrator.domain.ids import Tenant, WorkerId
from orchestrator.domain.profile import owner_of
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import Queue
from orchestrator.queue.redis import RedisQueue
from tests.contracts.conftest import Bench
from tests.queue.entries import HOLD_MS, ONE, STEP_US, SWEEPER, TWO, ending, entry

ACME = Tenant("acme")


async def ceil(queue: Queue, **ceilings: int) -> None:
    await queue.bound({owner.replace("__", "\0"): most for owner, most in ceilings.items()})
    await queue.recount(100, [], asserted=True)


async def claim(queue: Queue, limit: int = 100, worker: WorkerId = ONE, hold_ms: int = HOLD_MS) -> list[Claim]:
    return await queue.claim(worker, "default", limit, hold_ms)


def ids(*tasks: Entry | Claim) -> list[str]:
    return [each.entry.id if isinstance(each, Claim) else each.id for each in tasks]


async def put(queue: Queue, count: int, **given: Any) -> list[Entry]:
    tasks = [entry(**given) for _ in range(count)]
    await queue.enqueue(tasks)
    return tasks


async def test_what_passes_the_ceiling_is_held_and_comes_in_its_order(queue: Queue) -> None:
    await ceil(queue, acme=2)
    tasks, others = await put(queue, 5), await put(queue, 2, tenant="other")
    first = await claim(queue)
    assert ids(*first) == ids(*tasks[:2], *others)
    assert await queue.pending("default", 0, 9) == []
    assert await claim(queue) == []
    assert (await queue.standing(tasks[3].id)).held_by == ACME
    assert await queue.first_held(2) == ids(*tasks[2:4])
    assert await queue.missing(ids(*tasks)) == []
    (figures,) = await queue.queues()
    assert (figures.depth, figures.running, figures.held) == (0, 4, 3)
    for place in (2, 3, 4):
        assert await queue.settle(ONE, [ending(first.pop(0))]) == [True]
        came = await claim(queue)
        assert ids(*came) == ids(tasks[place])
        first = came + [each for each in first if each.entry.tenant == "acme"]


async def test_the_most_urgent_of_what_is_held_comes_first_and_waiting_goes_on_to_count(queue: Queue) -> None:
    await ceil(queue, acme=1)
    await put(queue, 1)
    (running,) = await claim(queue)
    (low,), (high,) = await put(queue, 1, priority=9), await put(queue, 1, priority=0)
    assert await claim(queue) == []
    await queue.settle(ONE, [ending(running)])
    (running,) = await claim(queue)
    assert ids(running) == [high.id]
    await queue.settle(ONE, [ending(running)])
    assert ids(*await claim(queue)) == [low.id]


async def test_a_type_that_is_full_keeps_no_other_type_waiting(queue: Queue) -> None:
    await ceil(queue, acme=3, acme__resize=1)
    resizes, renders = await put(queue, 4), await put(queue, 4, type="render")
    first = await claim(queue)
    assert ids(*first) == ids(resizes[0], renders[0], renders[1])
    assert (await queue.standing(resizes[1].id)).held_by == owner_of(ACME, "resize")
    await queue.settle(ONE, [ending(first[1])])
    second = await claim(queue)
    assert ids(*second) == ids(renders[2])
    await queue.settle(ONE, [ending(first[0])])
    third = await claim(queue)
    assert ids(*third) == ids(resizes[1])
    await queue.settle(ONE, [ending(each) for each in (*first[2:], *second, *third)])
    assert ids(*await claim(queue)) == ids(resizes[2], renders[3])


async def test_where_a_type_is_full_the_next_of_another_type_takes_the_turn(queue: Queue) -> None:
    await ceil(queue, acme=2, acme__resize=1)
    await put(queue, 2, type="render")
    running = await claim(queue)
    (first, second), (other,) = await put(queue, 2), await put(queue, 1, type="render")
    assert await claim(queue) == []
    await queue.settle(ONE, [ending(running[0])])
    assert ids(*await claim(queue)) == [first.id]
    await queue.settle(ONE, [ending(running[1])])
    assert ids(*await claim(queue)) == [other.id]
    assert (await queue.standing(second.id)).held_by == owner_of(ACME, "resize")


async def test_every_end_of_a_lease_lets_the_next_come(bench: Bench) -> None:
    queue = bench.queue
    await ceil(queue, acme=1)
    tasks = await put(queue, 7)
    (running,) = await claim(queue)
    assert await claim(queue) == []
    ends = (
        lambda claim: queue.settle(ONE, [ending(claim)]),
        lambda claim: queue.settle(ONE, [ending(claim, State.RETRYING)]),
        lambda claim: queue.settle(ONE, [ending(claim, State.WAITING)]),
        lambda claim: queue.settle(ONE, [ending(claim)], (), [b"ended"]),
        lambda claim: queue.forget(ONE, [(claim.entry.id, claim.fence)]),
        lambda claim: queue.drop([claim.entry.id]),
    )
    for place, end in enumerate(ends, 1):
        await end(running)
        (running,) = await claim(queue)
        assert running.entry.id == tasks[place].id, place


async def test_a_lease_that_is_taken_over_goes_on_to_count(bench: Bench) -> None:
    queue = bench.queue
    await ceil(queue, acme=1)
    _, second = await put(queue, 2)
    await claim(queue, hold_ms=1)
    await bench.pass_ms(5)
    (lost,), _ = await queue.take_over(SWEEPER, 10, HOLD_MS)
    assert await claim(queue) == []
    await queue.settle(SWEEPER, [ending(lost, State.RETRYING)])
    assert ids(*await claim(queue)) == [second.id]


async def test_a_released_task_comes_before_what_is_held(queue: Queue) -> None:
    await ceil(queue, acme=1)
    first, _ = await put(queue, 2)
    (running,) = await claim(queue)
    assert await claim(queue) == []
    await queue.settle(ONE, [ending(running, State.QUEUED)])
    assert ids(*await claim(queue, worker=TWO)) == [first.id]


async def test_the_popped_one_is_held_and_another_tenant_is_served_in_its_stead(queue: Queue) -> None:
    await ceil(queue, acme=0)
    held, other = (await put(queue, 1))[0], (await put(queue, 1, tenant="other"))[0]
    popped = await queue.pop(["default"], 1)
    assert popped is not None
    assert popped.id == held.id
    assert ids(*await queue.claim(ONE, "default", 1, HOLD_MS, popped.id)) == [other.id]
    assert await queue.put_back(100) == []


async def test_a_dropped_task_is_gone_from_where_it_is_held_and_costs_no_turn(queue: Queue) -> None:
    await ceil(queue, acme=1)
    _, second, third, fourth = await put(queue, 4)
    (running,) = await claim(queue)
    assert await claim(queue) == []
    await queue.drop([third.id])
    await queue.settle(ONE, [ending(running)])
    await queue.drop([second.id])  # it had been let come already
    assert ids(*await claim(queue)) == [fourth.id]


async def test_a_ceiling_counts_what_runs_when_it_comes_and_frees_all_when_it_goes(queue: Queue) -> None:
    tasks = await put(queue, 5)
    running = await claim(queue, 2)
    await ceil(queue, acme=2)
    assert await claim(queue) == []
    await queue.settle(ONE, [ending(running[0])])
    (third,) = await claim(queue)
    await ceil(queue, acme=3)
    (fourth,) = await claim(queue)
    assert ids(third, fourth) == ids(*tasks[2:4])
    await ceil(queue)
    assert ids(*await claim(queue)) == [tasks[4].id]


async def test_until_what_runs_was_counted_nothing_limited_is_leased(bench: Bench) -> None:
    queue = bench.queue
    await ceil(queue, acme=1)
    await put(queue, 1)
    (running,) = await claim(queue)
    await bench.empty()
    queue = bench.queue
    await queue.bound({ACME: 1})
    assert await queue.open_epoch(2)
    await queue.extend(ONE, [(running.entry.id, running.fence)], HOLD_MS)
    (waiting,), (other,) = await put(queue, 1), await put(queue, 1, tenant="other")
    assert ids(*await claim(queue)) == [other.id]
    came, strange = await queue.recount(100, [], asserted=False)
    assert (came, strange) == (0, [running.entry.id])
    await queue.recount(100, [(running.entry.id, ACME, "resize")], asserted=True)
    assert await claim(queue) == []
    await queue.settle(ONE, [ending(running)])
    assert ids(*await claim(queue)) == [waiting.id]


async def test_ten_thousand_held_tasks_are_looked_at_once(redis_clients: Any) -> None:
    commands, blocking = redis_clients
    queue = RedisQueue(commands, blocking, Keys(), STEP_US)
    await queue.open_epoch(1)
    await ceil(queue, acme=1)
    await put(queue, 10_000)
    while await queue.depth("default"):
        await claim(queue)
    others = await put(queue, 50, tenant="other")
    await commands.config_resetstat()
    assert ids(*await claim(queue)) == ids(*others)
    stats = await commands.info("commandstats")
    assert stats["cmdstat_zpopmin"]["calls"] <= len(others) + 2
