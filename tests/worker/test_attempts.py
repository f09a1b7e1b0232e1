"""Attempts that overlap, end in an unlucky moment, or meet a store that refuses."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import DEFAULT_TENANT, Fence, WorkerId
from orchestrator.domain.outcome import Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import Claim, Entry, Task
from orchestrator.operations.cancel import cancel
from orchestrator.operations.read import runs
from orchestrator.operations.replay import retry
from orchestrator.operations.settle import settle
from orchestrator.worker.executor import Executor
from orchestrator.worker.recorder import Recorder
from orchestrator.worker.service import WorkerService
from tests.store.samples import waiting
from tests.worker.conftest import House
from tests.worker.life_handlers import ENTERED, FINISH, LET_GO, STOPPED


def claim_of(task: Task, fence: int) -> Claim:
    entry = Entry(
        task.id, task.tenant, task.type, task.queue, task.priority, b"{}", task.max_retries, task.timeout_seconds,
        task.traceparent,
    )  # fmt: skip
    began_us = int(task.created_at.timestamp() * 1e6)
    return Claim(entry, Fence(fence), 1, WorkerId("worker-1"), began_us, waited_us=0, settled_epoch=True)


async def moved_until(service: WorkerService, reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not reached():
            await service._attempts.moved()


async def recorded(house: House, task: Task) -> list[RunStatus]:
    return [run.status for run in await runs(house.runtime, DEFAULT_TENANT, task.id)]


async def test_a_task_claimed_again_keeps_its_lease_when_its_earlier_attempt_has_unwound(house: House) -> None:
    task = await house.submit("clingy")
    async with house.worker() as service, asyncio.timeout(10):
        attempts = service._attempts
        await ENTERED[task.id].get()
        await house.running(task)
        await cancel(house.runtime, DEFAULT_TENANT, task.id)
        await STOPPED[task.id].wait()
        await retry(house.runtime, DEFAULT_TENANT, task.id)
        second = await ENTERED[task.id].get()
        assert (attempts.running, attempts.held) == (2, {task.id: second})
        LET_GO[task.id].set()
        await moved_until(service, lambda: len(attempts._lives) == 1)
        assert (attempts.running, attempts.held) == (1, {task.id: second})
        assert attempts.tasks() == (task.id,)
        FINISH[task.id].set()
        ended = await house.ended(task)
    assert (ended.status, ended.attempt, ended.crashes) == (State.SUCCEEDED, 1, 0)
    assert await recorded(house, task) == [RunStatus.CANCELLED, RunStatus.SUCCEEDED]


async def test_an_attempt_that_still_runs_is_stopped_when_its_task_is_claimed_anew(house: House) -> None:
    task = await house.submit("clingy")
    async with house.worker(grace_seconds=0) as service, asyncio.timeout(10):
        attempts = service._attempts
        first = await ENTERED[task.id].get()
        second = await house.runtime.queue.mint()
        attempts.start(claim_of(task, second))
        assert attempts._stopped == {first: False}
        await STOPPED[task.id].wait()
        assert await ENTERED[task.id].get() == second
        LET_GO[task.id].set()
        await moved_until(service, lambda: Fence(first) not in attempts._lives)


async def test_a_lost_lease_stops_its_own_attempt_and_a_drop_stops_all(house: House) -> None:
    task = await house.submit("clingy")
    async with house.worker(grace_seconds=0) as service, asyncio.timeout(10):
        attempts = service._attempts
        first = await ENTERED[task.id].get()
        second = await house.runtime.queue.mint()
        attempts.start(claim_of(task, second))
        await STOPPED[task.id].wait()
        STOPPED[task.id].clear()
        attempts.stop([Fence(first)])
        assert await ENTERED[task.id].get() == second
        assert attempts._stopped == {first: False}
        attempts.drop([task.id])
        await STOPPED[task.id].wait()
        assert attempts._stopped == {first: False, second: False}
        LET_GO[task.id].set()


async def test_of_two_attempts_of_one_task_only_the_newer_is_recorded(house: House) -> None:
    task = await house.submit("clingy", {"word": "quiet"})
    LET_GO[task.id].set()
    async with house.worker(grace_seconds=0) as service, asyncio.timeout(10):
        recorder = service._attempts._recorder
        told: asyncio.Queue[list[Fence]] = asyncio.Queue()
        recorder.on_stale = lambda fences: told.put_nowait(list(fences))
        first = Fence(await ENTERED[task.id].get())
        second = await house.runtime.queue.mint()
        recorder.watch(claim_of(task, second))
        await recorder.record([second, first])
        assert await told.get() == [first]
        assert [run.fence for run in await runs(house.runtime, DEFAULT_TENANT, task.id)] == [second]


async def test_an_attempt_that_ended_in_the_moment_of_its_release_is_settled(house: House) -> None:
    task = await house.submit("clingy")
    async with house.worker() as service, asyncio.timeout(10):
        await ENTERED[task.id].get()
        await moved_until(service, lambda: service._attempts.running == 1)
        FINISH[task.id].set()  # the handler goes on in the next turn of the loop ...
        service._attempts.release()  # ... and this comes behind it
        ended = await house.ended(task)
    assert (ended.status, ended.result) == (State.SUCCEEDED, "done")


async def test_a_released_attempt_is_given_back_and_does_not_count(house: House) -> None:
    task = await house.submit("clingy")
    LET_GO[task.id].set()
    async with house.worker(grace_seconds=0):
        await ENTERED[task.id].get()
    read = await house.runtime.ledger.read(DEFAULT_TENANT, task.id)
    assert read is not None
    assert (read.status, read.attempt, read.crashes) == (State.QUEUED, 0, 0)
    assert await recorded(house, task) == [RunStatus.RELEASED]


async def test_a_lock_timeout_makes_no_dead_letter_of_a_success(house: House, pool: asyncpg.Pool) -> None:
    task = await house.submit("count")
    async with pool.acquire() as holder:
        name = await holder.fetchval("select current_database()")
        await holder.execute(f"alter database {name} set lock_timeout = '20ms'")
        await holder.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
            name,
        )
        async with house.scheduler(), house.worker():
            async with holder.transaction():
                await holder.execute("select from orchestrator_tasks where id = $1 for update", task.id)
                [refused] = await waiting(holder)
                await _no_longer_waiting(holder, refused)
            ended = await house.ended(task)
    assert (ended.status, ended.error) == (State.SUCCEEDED, None)


async def _no_longer_waiting(connection: asyncpg.Connection, session: int) -> None:
    async with asyncio.timeout(5):
        waits: int | None = session
        while waits is not None:
            await asyncio.sleep(0.005)  # Postgres tells nobody that somebody gave up
            waits = await connection.fetchval("select pid from pg_locks where pid = $1 and not granted", session)


@pytest.mark.parametrize("result", [b"\xff", b"{"])
async def test_a_result_that_postgres_never_takes_fails_alone(house: House, result: bytes) -> None:
    good, bad = await house.submit("count"), await house.submit("count")
    claims = await house.runtime.queue.claim(WorkerId("worker-1"), "default", 2, 5000)
    endings = [decide(claim, Succeeded(b"1"), RetryPolicy(), chance=0.5) for claim in claims]
    endings[1] = replace(endings[1], result=result)
    assert await settle(house.runtime, WorkerId("worker-1"), endings) == [True, True]
    assert (await house.ended(good)).status is State.SUCCEEDED
    failed = await house.ended(bad)
    assert failed.error is not None
    assert (failed.status, failed.error["type"]) == (State.FAILED, "ResultNotStorable")


async def test_an_event_that_postgres_refuses_is_dropped_and_ends_nothing(house: House) -> None:
    task = await house.submit("clingy")
    async with house.worker() as service, asyncio.timeout(10):
        fence = Fence(await ENTERED[task.id].get())
        broken = Told(task.id, DEFAULT_TENANT, fence, 500, EventKind.LOG, b"{", house.runtime.clock.now())
        service._journal.append(broken)
        service._journal.append(replace(broken, number=501, data=b'{"text":"after it"}'))
        FINISH[task.id].set()
        story = await house.story(task)
    texts = [event.data["text"] for event in story if event.kind is EventKind.LOG]
    assert texts == ["here", "after it"]
    assert story[-1].data["status"] == "succeeded"


async def test_an_attempt_that_cannot_be_recorded_keeps_no_later_one_from_it(house: House) -> None:
    task = await house.submit("count")
    stale: asyncio.Queue[list[Fence]] = asyncio.Queue()
    recorder = Recorder(house.runtime, WorkerId("worker"))
    recorder.on_stale = lambda fences: stale.put_nowait(list(fences))
    recorder.start()
    async with asyncio.timeout(5):
        recorder.watch(replace(claim_of(task, 1), worker=WorkerId("\0")))
        while recorder._watched:  # noqa: ASYNC110 - nobody is told that its turn has come
            await asyncio.sleep(0.01)
        await cancel(house.runtime, DEFAULT_TENANT, task.id)
        recorder.watch(claim_of(task, 2))
        assert await stale.get() == [2]
    await recorder.stop()


async def test_what_an_idle_worker_claims_begins_before_it_asks_for_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noting(what: str, act: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(*arguments: Any) -> Any:
            done.append(what)
            return await act(*arguments)

        return noted

    queue = house.runtime.queue
    monkeypatch.setattr(queue, "claim", noting("claims", queue.claim))
    monkeypatch.setattr(queue, "names", noting("asks", queue.names))
    monkeypatch.setattr(Executor, "run", noting("begins", Executor.run))
    async with house.worker():
        await house.ended(await house.submit("echo", {"word": "hi"}))
    assert done[done.index("claims") :][:3] == ["claims", "begins", "asks"]
