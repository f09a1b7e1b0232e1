"""The fault matrix, workers: what dies, stalls, is cut off or hurried takes no task with it and writes nothing late."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.chaos.proxy import Way
from tests.faults.matrix import (
    LEASE_SECONDS,
    ROOM_SECONDS,
    SWEEP_SECONDS,
    TAKEN_OVER_SECONDS,
    Rig,
    nap,
    open_rig,
    watched,
)
from tests.faults.system import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("matrix-workers")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path_factory.mktemp("workers")) as opened:
        yield opened


async def test_a_worker_that_dies_between_pop_and_lease_loses_nothing(rig: Rig) -> None:
    """Row 2: it dies with a popped id in hand; the id goes back and runs elsewhere, and nothing ran twice."""
    victim = await rig.worker("row2", AUREA_CRASH_AT="popped")
    ids = await rig.submit([nap("row2") for _ in range(5)])
    await rig.died(victim)
    heir = await rig.worker("row2", serving=False)
    await rig.ended(ids, TAKEN_OVER_SECONDS)
    await rig.sound(ids)
    await rig.end(heir)


async def test_lost_replies_of_pops_lose_no_task(rig: Rig) -> None:
    """Row 3: while each reply to a pop is lost, nothing is skipped in silence: what was popped is put back."""
    worker = await rig.worker("row3")
    before = await rig.metric('aurea_requeued_total{cause="popped"}')
    ids = []
    for _ in range(15):
        rig.link(worker, "redis").swallow()
        ids += await rig.submit([nap("row3")])
        await asyncio.sleep(0.05)  # as long as the link is broken for this one
    rig.link(worker, "redis").heal()
    await rig.ended(ids, TAKEN_OVER_SECONDS)
    await rig.sound(ids, again=15)

    async def counted() -> bool:
        return await rig.metric('aurea_requeued_total{cause="popped"}') > before

    await until(counted, 10)
    await rig.end(worker)


async def test_a_phantom_waiter_keeps_no_task(rig: Rig) -> None:
    """Row 4: a link goes silent under a waiting pop, the server hands a task into the void, then the worker dies."""
    ids: list[str] = []
    async with rig.stores.redis() as redis:

        async def waiting() -> bool:
            return bool((await redis.info("clients"))["blocked_clients"])

        while True:
            ghost = await rig.worker("row4")
            await until(waiting, 10)
            rig.link(ghost, "redis").hold(Way.OUT, Way.BACK)
            ids += await rig.submit([nap("row4")])
            swallowed = await redis.zcard("aurea:queue:row4") < await redis.zcard("aurea:pending:row4")
            rig.system.kill(ghost)  # the held link stays: nobody tells the server
            if swallowed:
                break
            await rig.end(ghost)
    heir = await rig.worker("row4", serving=False)
    await rig.ended(ids, 20)
    await rig.sound(ids)
    await rig.end(ghost, heir)


async def test_an_isolated_worker_that_wakes_up_ends_no_lease_but_its_own(rig: Rig) -> None:
    """Row 5: its nap is over and another takes one; only Redis stands between its ending and the other's task."""
    sleeper = await rig.worker("row5", "--isolated")
    ids = await rig.submit([nap("row5", 2.5)])
    await rig.until_noted(ids)
    rig.system.signal(sleeper, signal.SIGSTOP)
    heir = await rig.worker("row5", "--isolated", serving=False)

    async def taken_over() -> bool:
        return len(rig.noted(ids)) == 2

    await until(taken_over, TAKEN_OVER_SECONDS)
    rig.system.signal(sleeper, signal.SIGCONT)
    await rig.ended(ids, 2.5 + TAKEN_OVER_SECONDS)
    await rig.sound(ids, again=1)
    await rig.end(sleeper, heir)


class Sink:
    """A service outside: it honours keys, and keeps back the first answer until it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.applied: dict[str, int] = {}
        self.let_go = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        key, fence = fields["idempotency-key"], int(fields["fence"])
        self.calls.append((key, fence))
        self.applied.setdefault(key, fence)
        if len(self.calls) == 1:
            await self.let_go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def test_a_worker_paused_inside_an_effect_repeats_it_under_the_same_key_and_a_higher_fence(rig: Rig) -> None:
    """Row 6: the sink holds the reply, the worker is stopped past its lease; the effect has one key and two fences."""
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    sleeper = await rig.worker("row6")
    ids = await rig.submit([{"type": "charge", "queue": "row6", "payload": {"url": url}}])

    async def called() -> bool:
        return bool(sink.calls)

    await until(called, 10)
    rig.system.signal(sleeper, signal.SIGSTOP)
    heir = await rig.worker("row6", serving=False)
    await rig.ended(ids, TAKEN_OVER_SECONDS)
    winner = await rig.rows("select fence, worker_id, result::text from orchestrator_tasks where id = $1", ids[0])
    sink.let_go.set()
    rig.system.signal(sleeper, signal.SIGCONT)
    await rig.said(sleeper, "leases_lost")
    assert await rig.system.leave(sleeper) == 0
    assert winner == await rig.rows(
        "select fence, worker_id, result::text from orchestrator_tasks where id = $1", ids[0]
    )
    await rig.sound(ids, again=1)
    (key, first), (same, second) = sink.calls
    assert (key == same, first < second, len(sink.applied)) == (True, True, 1)
    server.close()
    await rig.end(heir)


async def test_a_handler_whose_lease_cannot_be_extended_is_cancelled_before_it_ends(rig: Rig) -> None:
    """Row 8: what the worker sends is lost; its own clock ends the handler, it is counted, another runs it after."""
    lease_seconds = 4.0
    holder = await rig.worker("row8", TASK_LEASE_SECONDS=str(lease_seconds))
    ids = await rig.submit([watched("row8", 60)])
    await rig.until_noted(ids)
    before = await rig.metric("aurea_lease_lost_total")
    lost_at = time.monotonic()
    rig.link(holder, "redis").lose(Way.OUT)
    heir = await rig.worker("row8", serving=False)
    await rig.until_noted(ids, "cancelled")
    await rig.ended(ids, lease_seconds + TAKEN_OVER_SECONDS)
    [cancelled] = rig.noted(ids, "cancelled")
    cancelled_at = float(cancelled[4])
    assert cancelled_at < lost_at + lease_seconds
    again_at = max(float(line[4]) for line in rig.noted(ids))
    assert cancelled_at < again_at, "two ran at once"
    await rig.sound(ids, again=1)
    rig.link(holder, "redis").heal()

    async def counted() -> bool:
        return await rig.metric("aurea_lease_lost_total") > before

    await until(counted, 10)
    await rig.end(holder, heir)


async def test_a_second_sigterm_gives_everything_back_at_once(rig: Rig) -> None:
    """Row 10: TERM, TERM in the drain: it leaves before its handlers end, and no attempt is consumed."""
    hurried = await rig.worker("row10")
    ids = await rig.submit([nap("row10", 3.0) for _ in range(3)])
    await rig.until_noted(ids)
    rig.system.signal(hurried, signal.SIGTERM)
    await rig.said(hurried, "worker_leaves")
    assert await asyncio.wait_for(rig.system.leave(hurried), 2.9) == 0
    assert rig.noted(ids, "end") == []
    heir = await rig.worker("row10", serving=False)
    await rig.ended(ids, 3.0 + TAKEN_OVER_SECONDS)
    await rig.sound(ids, again=3)
    runs = await rig.rows(
        "select status::text, attempt from orchestrator_runs where task_id = any($1::uuid[]) order by fence", ids
    )
    assert [tuple(run) for run in runs] == [("released", 1)] * 3 + [("succeeded", 1)] * 3
    await rig.end(heir)


async def test_a_worker_cut_from_postgres_goes_on_and_its_results_are_kept(rig: Rig) -> None:
    """Row 33: cut from Postgres alone: it runs tasks under its leases, and the results come through the outbox."""
    worker = await rig.worker("row33p")
    rig.link(worker, "postgres").cut()
    ids = await rig.submit([nap("row33p") for _ in range(20)])
    await rig.ended(ids, LEASE_SECONDS + SWEEP_SECONDS + ROOM_SECONDS)
    await rig.sound(ids)
    await rig.end(worker)


async def test_a_result_made_while_redis_is_out_of_reach_is_kept_and_not_made_again(rig: Rig) -> None:
    """Row 33: cut from Redis alone: what ends within the lease is recorded; when the cut heals nothing runs again."""
    worker = await rig.worker("row33r", TASK_LEASE_SECONDS="6")
    ids = await rig.submit([nap("row33r", 1.0 + 0.2 * place) for place in range(5)])  # each ends in a batch of its own
    await rig.until_noted(ids)
    rig.link(worker, "redis").cut()
    await rig.ended(ids, 6)
    rig.link(worker, "redis").heal()
    more = await rig.submit([nap("row33r")])
    await rig.ended(more, LEASE_SECONDS + SWEEP_SECONDS + ROOM_SECONDS)
    await rig.sound([*ids, *more])
    async with rig.stores.redis() as redis:

        async def forgotten() -> bool:
            return not any([await redis.zscore("aurea:leases", task_id) for task_id in ids])

        await until(forgotten, LEASE_SECONDS + SWEEP_SECONDS + ROOM_SECONDS)
    await rig.end(worker)


async def test_a_worker_that_waits_for_the_outbox_and_loses_redis_records_what_it_made(rig: Rig) -> None:
    """Row 33: another's records wait for the relay, so this one's go behind them; then it is cut from Redis alone."""
    rig.system.kill("scheduler")
    first = await rig.worker("row33b")
    rig.link(first, "postgres").cut()
    earlier = await rig.submit([nap("row33b")])
    async with rig.stores.redis() as redis:
        await until(lambda: redis.exists("aurea:outbox"), 10)
    worker = await rig.worker("row33o", TASK_LEASE_SECONDS="8")
    ids = await rig.submit([nap("row33o", 1.5) for _ in range(3)])
    await rig.said(worker, "behind_the_outbox")
    rig.link(worker, "redis").cut()
    await rig.ended(ids, 8)
    rig.system.start("scheduler")
    rig.link(worker, "redis").heal()
    await rig.ended(earlier, LEASE_SECONDS + SWEEP_SECONDS + ROOM_SECONDS)
    await rig.sound([*earlier, *ids])
    await rig.end(first, worker)


async def test_an_orphan_of_a_dead_worker_and_a_dead_leader_is_queued_again_once(rig: Rig) -> None:
    """Row 37: three schedulers; the leader and a worker are killed together; within its lock somebody else leads."""
    for name in ("scheduler2", "scheduler3"):
        rig.system.start(name)
    worker = await rig.worker("row37")
    ids = await rig.submit([watched("row37", 60) for _ in range(4)])
    await rig.until_noted(ids)
    rig.system.kill(worker)
    rig.system.kill("scheduler")
    heir = await rig.worker("row37", serving=False)
    leader_seconds = 4.0
    await rig.ended(ids, leader_seconds + TAKEN_OVER_SECONDS)
    await rig.sound(ids, again=4)
    runs = await rig.rows(
        "select status::text, attempt from orchestrator_runs where task_id = any($1::uuid[]) order by fence", ids
    )
    assert [tuple(run) for run in runs] == [("crashed", 1)] * 4 + [("succeeded", 2)] * 4
    await rig.end(heir, "scheduler2", "scheduler3")
    rig.system.start("scheduler")
