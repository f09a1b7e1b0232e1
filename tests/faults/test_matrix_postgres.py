"""The fault matrix, Postgres: crashed, crowded, locked, out of time: the outbox stands in, nothing is done twice."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest
import pytest_asyncio

from orchestrator.chaos.stores import SESSIONS
from orchestrator.ledger.statements import load
from tests.faults.matrix import LEASE_SECONDS, ROOM_SECONDS, SWEEP_SECONDS, TAKEN_OVER_SECONDS, Rig, nap, open_rig
from tests.faults.system import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("matrix-postgres")]

END_OTHERS = load("chaos")["end_other_sessions"]
_END_ALL_BUT = """select pg_terminate_backend(pid) from pg_stat_activity
where pid <> all($1::integer[]) and backend_type = 'client backend'"""
"""Who came back meanwhile has a session, and misses nothing."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path_factory.mktemp("postgres")) as opened:
        yield opened


async def keep_posting(rig: Rig, queue: str, name: int, kept: dict[str, set[str]], stop: asyncio.Event) -> None:
    """Hand in tasks one after the other, each asked again under its key until it is answered."""
    number = 0
    while not stop.is_set():
        task = nap(queue, 0.01, idempotency_key=f"{queue}-{name}-{number}")
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = await rig.post(task)
                assert answer.status_code in (200, 201, 503), answer.text
                if answer.is_success:
                    kept.setdefault(task["idempotency_key"], set()).add(answer.json()["id"])
                    break
            await asyncio.sleep(0.05)
        number += 1
        await asyncio.sleep(0.01)


async def sound_whole(rig: Rig, queue: str, kept: dict[str, set[str]], seconds: float, again: int = 0) -> None:
    """Each key has one task, every task of the queue is one that was answered, and all have ended well."""
    assert [ids for ids in kept.values() if len(ids) != 1] == []
    ids = [task_id for ids in kept.values() for task_id in ids]
    await rig.ended(ids, seconds)
    [(count,)] = await rig.rows("select count(*) from orchestrator_tasks where queue = $1", queue)
    assert count == len(ids), "unexpected"
    await rig.sound(ids, again=again)


async def test_a_crash_of_postgres_in_mid_run_loses_no_result_and_records_each_once(rig: Rig) -> None:
    """Row 25: immediate stop and start under load: results wait in Redis and are written in order, once."""
    worker = await rig.worker("row25")
    kept: dict[str, set[str]] = {}
    stop = asyncio.Event()
    clients = [asyncio.create_task(keep_posting(rig, "row25", name, kept, stop)) for name in range(8)]

    async def more(than: int) -> None:
        async def grown() -> bool:
            return len(kept) > than

        await until(grown, 15)

    await more(40)
    await rig.stores.stop("postgres")
    await more(len(kept) + 40)
    await rig.stores.start("postgres")
    await more(len(kept) + 40)
    stop.set()
    await asyncio.gather(*clients)
    await sound_whole(rig, "row25", kept, 5.0 + ROOM_SECONDS)
    await rig.end(worker)


async def test_what_was_accepted_without_postgres_outlives_a_crash_of_redis(rig: Rig) -> None:
    """Row 28: Redis is killed while Postgres is down: what was answered is in its log, with key and body."""
    tasks = [nap("row28", idempotency_key=f"row-28-{number}") for number in range(30)]
    await rig.stores.stop("postgres")
    answers = await asyncio.gather(*(rig.post(task) for task in tasks))
    assert {(answer.status_code, answer.json()["durability"]) for answer in answers} == {(201, "redis")}
    ids = [answer.json()["id"] for answer in answers]
    await rig.stores.kill("redis")
    await rig.stores.start("redis")

    async def answers_again() -> bool:
        answer = await rig.post(tasks[0])
        return answer.status_code == 200 and answer.json()["id"] == ids[0]

    await until(answers_again, 5.0 + ROOM_SECONDS)
    other = await rig.post({**tasks[0], "priority": 1})
    assert other.status_code == 422
    await rig.stores.start("postgres")
    worker = await rig.worker("row28")
    await rig.ended(ids, 5.0 + TAKEN_OVER_SECONDS)
    await rig.sound(ids)
    await rig.end(worker)


async def test_sessions_that_are_ended_every_second_double_nothing(rig: Rig) -> None:
    """Row 29: pg_terminate_backend under load: an unknown commit is resolved by its key, never by a blind repeat."""
    worker = await rig.worker("row29")
    kept: dict[str, set[str]] = {}
    stop = asyncio.Event()
    clients = [asyncio.create_task(keep_posting(rig, "row29", name, kept, stop)) for name in range(8)]
    session = await rig.stores.session()
    for _ in range(4):
        await asyncio.sleep(1)  # as often as the fault comes
        await session.fetch(END_OTHERS, session.get_server_pid())
    stop.set()
    await asyncio.gather(*clients)
    await session.close()
    rig.hang_up()
    assert len(kept) > 50
    await sound_whole(rig, "row29", kept, 1.0 + TAKEN_OVER_SECONDS)
    await rig.end(worker)


async def test_a_postgres_without_a_free_session_holds_up_no_answer(rig: Rig) -> None:
    """Row 30: somebody else has every session: kept in Redis within 3 s, /health answers, all is well after."""
    worker = await rig.worker("row30")
    rig.hang_up()
    crowd: list[asyncpg.Connection] = [await rig.stores.session()]
    await crowd[0].fetch(END_OTHERS, crowd[0].get_server_pid())
    full = False
    while not full or await crowd[0].fetch(_END_ALL_BUT, [session.get_server_pid() for session in crowd]):
        tried = await asyncio.gather(*(rig.stores.session() for _ in range(8)), return_exceptions=True)
        crowd += [session for session in tried if isinstance(session, asyncpg.Connection)]
        full = any(isinstance(session, asyncpg.TooManyConnectionsError) for session in tried)
    assert len(crowd) > SESSIONS * 0.9
    answers = [await rig.post(nap("row30")) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json().get("durability") for answer in answers[1:]} == {"redis"}
    assert (await rig.client.get("/livez")).status_code == 200
    health = await asyncio.wait_for(rig.client.get("/health"), 3.0)
    assert health.status_code == 503
    assert health.json()["dependencies"]["postgres"]["status"] == "unavailable"
    for session in crowd:
        session.terminate()
    ids = [answer.json()["id"] for answer in answers]
    await rig.ended(ids, 1.0 + ROOM_SECONDS)
    await rig.sound(ids)
    await rig.end(worker)


async def test_a_locked_table_holds_up_no_answer_beyond_the_deadline(rig: Rig) -> None:
    """Row 32: `LOCK TABLE` for 5 s: POST within 3 s, kept in Redis; the lock goes, and all is written once."""
    worker = await rig.worker("row32")
    session = await rig.stores.session()
    await session.execute("begin")
    await session.execute("lock table orchestrator_tasks in access exclusive mode", timeout=10)
    held_until = time.monotonic() + 5.0
    ids: list[str] = []
    while time.monotonic() < held_until:
        answer = await rig.post(nap("row32", idempotency_key=f"row-32-{len(ids)}"))
        assert answer.status_code == 201
        ids.append(answer.json()["id"])
        await asyncio.sleep(0.2)
    await session.execute("commit")
    await session.close()
    await rig.ended(ids, 5.0 + ROOM_SECONDS)
    await rig.sound(ids)
    [(count,)] = await rig.rows("select count(*) from orchestrator_tasks where queue = 'row32'")
    assert count == len(ids)
    await rig.end(worker)


async def test_a_jump_of_postgres_clock_moves_no_lease_and_starts_nothing_twice(rig: Rig) -> None:
    """Row 36: for Postgres it is an hour later, or earlier, in mid-run: leases and schedules are Redis' clock."""
    worker = await rig.worker("row36")
    delayed = await rig.submit([nap("row36", delay_seconds=2.0) for _ in range(5)])
    ids = await rig.submit([nap("row36", 0.5) for _ in range(24)])
    await rig.until_noted(ids[:4])
    session = await rig.stores.session()
    await session.execute("create schema skewed")
    for jump in ("1 hour", "-1 hour"):
        # All sessions made from now on find this `now` before the system's own.
        await session.execute(
            "create or replace function skewed.now() returns timestamptz stable language sql "
            f"as $$ select pg_catalog.now() + interval '{jump}' $$"
        )
        await session.execute("alter role postgres set search_path = skewed, pg_catalog, public")
        await session.fetch(END_OTHERS, session.get_server_pid())
        rig.hang_up()
        [(shift,)] = await rig.rows("select extract(epoch from now() - pg_catalog.now())::int")
        assert abs(shift) == 3600
        ids += await rig.submit([nap("row36", 0.1, idempotency_key=f"row-36-{jump}")])
    await rig.ended([*ids, *delayed], LEASE_SECONDS + SWEEP_SECONDS + TAKEN_OVER_SECONDS)
    await rig.sound([*ids, *delayed])
    runs = await rig.rows(
        "select count(*) from orchestrator_runs where task_id = any($1::uuid[]) and attempt > 1", [*ids, *delayed]
    )
    assert runs[0][0] == 0
    await session.execute("alter role postgres reset search_path")
    await session.execute("drop schema skewed cascade")
    await session.fetch(END_OTHERS, session.get_server_pid())
    await session.close()
    rig.hang_up()
    await rig.end(worker)
