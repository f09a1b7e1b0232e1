"""Workers that die, pause, block and leave: nothing is lost, nothing is recorded twice."""

import asyncio
import itertools
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from tests.conftest import Servers
from tests.faults.system import System, running_system, until

pytestmark = pytest.mark.xdist_group("storms")  # one at a time: each keeps all processors busy


@pytest.fixture
async def system(own_servers: Servers, tmp_path: Path) -> AsyncIterator[System]:
    async with running_system(own_servers.postgres, own_servers.valkey, tmp_path) as started:
        yield started


async def check(system: System, ids: list[str], executed: bool = True) -> None:
    """The checker of a queue: what was accepted ended once, and nothing else ended."""
    rows = await system.rows("select id::text, status::text from orchestrator_tasks")
    ended = {row["id"]: row["status"] for row in rows}
    assert set(ids) - set(ended) == set(), "lost"
    assert set(ended) - set(ids) == set(), "unexpected"
    assert Counter(ended.values()) == {"succeeded": len(ids)}
    doubled = await system.rows(
        "select task_id from orchestrator_runs where status = 'succeeded' group by task_id having count(*) > 1"
    )
    assert doubled == [], "recorded twice"
    if executed:
        assert {task_id for task_id, *_ in system.executions()} == set(ids)


async def got_on(system: System, past: int) -> bool:
    """Whether work went on since, and no task runs that this kill would make a dead letter.

    On a slow machine nobody would live long enough otherwise to end anything, and innocents would be caught thrice.
    """
    caught_twice = "select count(*)::int as tasks from orchestrator_tasks where crashes >= 2 and status = 'running'"
    return len(system.executions()) >= past + 250 and (await system.rows(caught_twice))[0]["tasks"] == 0


async def test_killed_workers_and_a_flushed_redis_lose_nothing_and_double_nothing(system: System) -> None:
    """Rows 1, 16: 5,000 tasks; a worker is killed every second, or when work went on; Redis is emptied once."""
    system.start("api")
    system.start("scheduler")
    await system.ready()
    chance = random.Random(7)
    ids = await system.submit(
        [{"type": "nap", "payload": {"seconds": 0.02}, "priority": chance.choice((0, 2, 5, 7, 9))} for _ in range(5000)]
    )
    system.start("worker1", MAX_CONCURRENCY="20")
    system.start("worker2", MAX_CONCURRENCY="20")

    async def strike() -> None:
        for blow, name in enumerate(itertools.cycle(("worker1", "worker2"))):
            past = len(system.executions())
            await asyncio.sleep(1)
            await until(lambda past=past: got_on(system, past), 90)  # type: ignore[misc]
            system.kill(name)
            if blow == 2:
                with redis.Redis.from_url(system.redis_url) as client:
                    client.flushall()
            system.start(name, MAX_CONCURRENCY="20")

    faults = asyncio.create_task(strike())
    try:
        await system.drained(seconds=90)
    finally:
        faults.cancel()
    await check(system, ids)


async def test_a_killed_worker_s_task_runs_elsewhere_within_its_lease_and_five_seconds(system: System) -> None:
    """Row 1: kill -9 in the handler; the attempt is on record as crashed, the next one succeeds."""
    system.start("api")
    system.start("scheduler")
    system.start("worker1")
    await system.ready()
    [task_id] = await system.submit([{"type": "nap", "payload": {"seconds": 0.5}, "tags": {"case": "kill"}}])

    async def started() -> bool:
        return len(system.executions()) == 1

    await until(started, 10)
    system.kill("worker1")
    system.start("worker2")
    async with asyncio.timeout(3 + 5 + 1):  # the lease, the bound, and a second for a Python to start
        await system.drained(60)
    await check(system, [task_id])
    runs = await system.rows("select status::text, attempt from orchestrator_runs order by fence")
    assert [tuple(run) for run in runs] == [("crashed", 1), ("succeeded", 2)]


async def test_a_worker_paused_past_its_lease_changes_nothing_when_it_goes_on(system: System) -> None:
    """Row 5: SIGSTOP past the lease, SIGCONT after another has ended the task: what is on record stays."""
    system.start("api")
    system.start("scheduler")
    system.start("worker1")
    await system.ready()
    [task_id] = await system.submit([{"type": "nap", "payload": {"seconds": 1.0}}])

    async def started() -> bool:
        return len(system.executions()) == 1

    await until(started, 10)
    system.signal("worker1", signal.SIGSTOP)
    system.start("worker2")
    await system.drained(20)
    winner = await system.rows("select fence, worker_id, finished_at from orchestrator_tasks")
    system.signal("worker1", signal.SIGCONT)

    async def noticed() -> bool:
        return "leases_lost" in system.log("worker1") or "stale_result_discarded" in system.log("worker1")

    await until(noticed, 10)
    assert await system.leave("worker1") == 0
    assert await system.rows("select fence, worker_id, finished_at from orchestrator_tasks") == winner
    await check(system, [task_id])


async def test_a_handler_that_blocks_the_event_loop_for_two_leases_is_run_once(system: System) -> None:
    """Row 7: the beats come from a thread of their own."""
    system.start("api")
    system.start("scheduler")
    system.start("worker1")
    system.start("worker2")
    await system.ready()
    [task_id] = await system.submit([{"type": "block", "payload": {"seconds": 6.5}}])
    await system.drained(20)
    assert [line[1:] for line in system.executions() if line[3] == "end"] == [["1", system.executions()[0][2], "end"]]
    assert len(system.executions()) == 2
    await check(system, [task_id])


async def test_the_third_crash_makes_a_dead_letter_and_the_others_go_on(system: System) -> None:
    """Row 38: a handler kills its process each time; twenty others end meanwhile."""
    system.start("api")
    system.start("scheduler")
    await system.ready()
    [poison] = await system.submit([{"type": "suicide"}])
    others = await system.submit([{"type": "nap"} for _ in range(20)])
    system.start("worker1")

    async def revive() -> None:
        while True:
            if system.processes["worker1"].poll() is not None:
                system.start("worker1")
            await asyncio.sleep(0.1)

    reviver = asyncio.create_task(revive())
    try:
        await system.drained(40)
    finally:
        reviver.cancel()
    [row] = await system.rows("select status::text, crashes, error from orchestrator_tasks where id = $1", poison)
    assert (row["status"], row["crashes"]) == ("failed", 3)
    assert '"poison"' in row["error"]
    ended = await system.rows("select count(*) from orchestrator_tasks where status = 'succeeded'")
    assert ended[0]["count"] == len(others)
    deaths = [line for line in system.log("worker1").splitlines() if "worker_started" in line]
    assert len(deaths) <= 3, "a suspect runs in a process of its own and kills no third worker"


async def test_a_task_whose_worker_is_killed_three_times_while_it_runs_is_poison(system: System) -> None:
    """Row 38: the worker is killed from outside, while the attempt is on record."""
    system.start("api")
    system.start("scheduler", TASK_LEASE_SECONDS="1")
    await system.ready()
    [task_id] = await system.submit([{"type": "nap", "payload": {"seconds": 60}}])
    for kill in range(1, 4):
        system.start("worker1", TASK_LEASE_SECONDS="1")

        async def on_record(run: int = kill) -> bool:
            runs = await system.rows("select from orchestrator_runs where status = 'running' and attempt = $1", run)
            return len(runs) == 1

        await until(on_record, 20)
        system.kill("worker1")
    await system.drained(20)
    [row] = await system.rows("select status::text, crashes, error from orchestrator_tasks where id = $1", task_id)
    assert (row["status"], row["crashes"]) == ("failed", 3)
    assert '"poison"' in row["error"]
    runs = await system.rows("select status::text from orchestrator_runs")
    assert [run["status"] for run in runs] == ["crashed"] * 3


async def test_workers_that_leave_under_load_cause_no_retry(system: System) -> None:
    """Row 9: SIGTERM to each in turn under 1,000 tasks; each runs once."""
    system.start("api")
    system.start("scheduler")
    await system.ready()
    ids = await system.submit([{"type": "nap", "payload": {"seconds": 0.05}} for _ in range(1000)])
    system.start("worker1", MAX_CONCURRENCY="20")
    await system.serving(1)
    for number in range(2, 5):
        system.start(f"worker{number}", MAX_CONCURRENCY="20")
        await system.serving(number)
        assert await system.leave(f"worker{number - 1}") == 0
    await system.drained(30)
    await check(system, ids)
    assert await system.rows("select 1 from orchestrator_runs where status <> 'succeeded'") == []
    assert Counter(word for *_, word in system.executions()) == {"start": 1000, "end": 1000}


async def test_what_does_not_finish_in_the_grace_is_given_back_uncounted(system: System) -> None:
    system.start("api")
    system.start("scheduler")
    system.start("worker1", SHUTDOWN_GRACE_SECONDS="1")
    await system.ready()
    [task_id] = await system.submit([{"type": "nap", "payload": {"seconds": 4.0}}])

    async def started() -> bool:
        return len(system.executions()) == 1

    await until(started, 10)
    assert await system.leave("worker1") == 0
    system.start("worker2")
    await system.drained(20)
    runs = await system.rows("select status::text, attempt from orchestrator_runs order by fence")
    assert [tuple(run) for run in runs] == [("released", 1), ("succeeded", 1)]
    await check(system, [task_id])


async def test_one_worker_serves_ten_thousand_tasks_without_an_inversion(system: System) -> None:
    system.start("api")
    system.start("scheduler")
    await system.ready()
    chance = random.Random(11)
    priorities = [chance.choice((0, 2, 5, 7, 9)) for _ in range(10_000)]
    ids = await system.submit([{"type": "nap", "priority": priority} for priority in priorities])
    system.start("worker1")
    await system.drained(60)
    order = [task_id for task_id, *_, word in system.executions() if word == "start"]
    expected = [task_id for _, _, task_id in sorted(zip(priorities, range(10_000), ids, strict=True))]
    assert order == expected
