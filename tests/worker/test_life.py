"""The life of a task, from submission to its end, on real stores."""

import asyncio
from datetime import timedelta

import pytest

from orchestrator.domain.errors import Conflict, KeyConflict
from orchestrator.domain.events import EventKind
from orchestrator.domain.ids import DEFAULT_TENANT, WorkerId
from orchestrator.domain.states import State
from orchestrator.operations.cancel import cancel
from orchestrator.operations.follow import follow
from orchestrator.operations.pause import pause, resume
from orchestrator.operations.read import get, runs
from orchestrator.operations.replay import retry
from orchestrator.operations.why import why
from tests.worker.conftest import House
from tests.worker.life_handlers import STOPPED


async def test_a_task_runs_once_and_its_story_is_complete_and_in_order(house: House) -> None:
    task = await house.submit("echo", {"word": "hi"})
    async with house.worker():
        story = await house.story(task)
    assert [(event.kind.value, event.data) for event in story] == [
        ("status", {"status": "queued"}),
        ("status", {"status": "running", "attempt": 1}),
        ("log", {"text": "echoing", "fields": {"word": "hi"}}),
        ("progress", {"fraction": 0.5, "text": "half"}),
        ("token", {"text": "ab"}),
        ("status", {"status": "succeeded", "attempt": 1}),
        ("result", {"word": "hi", "attempt": 1}),
        ("end", {"status": "succeeded", "error": None}),
    ]
    places = [event.place for event in story]
    assert places == sorted(set(places))
    assert [event.place for event in await house.story(task)] == places, "a replay tells the same"
    assert (await get(house.runtime, DEFAULT_TENANT, task.id)).progress == {"fraction": 0.5, "text": "half"}


async def test_listeners_that_come_and_go_see_every_event_once(house: House) -> None:
    task = await house.submit("flaky")
    seen: list[int] = []

    async def listen_in_pieces() -> None:
        while True:
            after = seen[-1] if seen else -1
            count = 0
            async for event in follow(house.runtime, DEFAULT_TENANT, task.id, after):
                seen.append(event.place)
                count += 1
                if event.kind is EventKind.END:
                    return
                if count == 2:
                    break

    listener = asyncio.create_task(listen_in_pieces())
    async with house.worker(), house.scheduler():
        await asyncio.wait_for(listener, 20)
    assert seen == [event.place for event in await house.story(task)]


async def test_network_errors_are_retried_and_every_attempt_is_on_record(house: House) -> None:
    task = await house.submit("flaky")
    async with house.worker(), house.scheduler():
        ended = await house.ended(task)
    assert (ended.status, ended.result, ended.attempt) == (State.SUCCEEDED, 3, 3)
    recorded = await runs(house.runtime, DEFAULT_TENANT, task.id)
    assert [(run.attempt, run.status.value) for run in recorded] == [(1, "failed"), (2, "failed"), (3, "succeeded")]


async def test_exhausted_retries_make_a_dead_letter_that_can_be_replayed(house: House) -> None:
    task = await house.submit("doomed")
    async with house.worker(), house.scheduler():
        ended = await house.ended(task)
        assert (ended.status, ended.attempt) == (State.FAILED, 3)
        assert ended.error is not None
        assert ended.error["retryable"] is True
        reopened = await retry(house.runtime, DEFAULT_TENANT, task.id)
        assert (reopened.status, reopened.attempt, reopened.error) == (State.QUEUED, 0, None)
        with pytest.raises(Conflict):
            await retry(house.runtime, DEFAULT_TENANT, task.id)
        again = await house.ended(task)
    assert (again.status, again.attempt) == (State.FAILED, 3)
    assert len(await runs(house.runtime, DEFAULT_TENANT, task.id)) == 6


async def test_a_terminal_error_is_not_retried(house: House) -> None:
    task = await house.submit("refused")
    async with house.worker():
        ended = await house.ended(task)
    assert (ended.status, ended.attempt) == (State.FAILED, 1)
    assert ended.error == {**ended.error, "type": "Terminal", "message": "not like this", "retryable": False}


async def test_a_handler_may_say_when_to_try_again(house: House) -> None:
    task = await house.submit("later")
    async with house.worker(), house.scheduler():
        ended = await house.ended(task)
    assert ended.result == "came again"
    first, second = await runs(house.runtime, DEFAULT_TENANT, task.id)
    assert first.finished_at is not None
    assert second.started_at - first.finished_at >= timedelta(seconds=1)


async def test_a_timeout_ends_the_attempt(house: House) -> None:
    task = await house.submit("slow")
    async with house.worker():
        ended = await house.ended(task)
    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == (State.FAILED, "timeout")


async def test_a_result_that_json_cannot_hold_fails_clearly(house: House) -> None:
    task = await house.submit("odd")
    async with house.worker():
        ended = await house.ended(task)
    assert ended.status is State.FAILED
    assert ended.error is not None
    assert "set" in ended.error["message"]


async def test_a_running_task_is_cancelled_within_a_second(house: House) -> None:
    task = await house.submit("linger")
    async with house.worker():
        await house.running(task)
        await cancel(house.runtime, DEFAULT_TENANT, task.id)
        await asyncio.wait_for(STOPPED[task.id].wait(), 1)
        ended = await house.ended(task)
    assert ended.status is State.CANCELLED
    assert [run.status.value for run in await runs(house.runtime, DEFAULT_TENANT, task.id)] == ["cancelled"]
    assert (await cancel(house.runtime, DEFAULT_TENANT, task.id)).status is State.CANCELLED


async def test_an_isolated_task_is_really_ended_by_a_cancellation(house: House) -> None:
    task = await house.submit("alone", {"word": "wait"})
    async with house.worker():
        await house.running(task)
        await cancel(house.runtime, DEFAULT_TENANT, task.id)
        ended = await house.ended(task)
    assert ended.status is State.CANCELLED


async def test_threads_and_processes_give_results_too(house: House) -> None:
    plain, alone = await house.submit("plain", {"word": "t"}), await house.submit("alone", {"word": "p"})
    async with house.worker():
        assert [(await house.ended(task)).result for task in (plain, alone)] == ["t", "p"]


async def test_a_delayed_task_waits_and_then_runs(house: House) -> None:
    task = await house.submit("echo", delay_seconds=1)
    assert (await why(house.runtime, DEFAULT_TENANT, task.id)).cause == "not_due"
    async with house.worker(), house.scheduler():
        ended = await house.ended(task)
    assert ended.started_at is not None
    assert ended.run_at is not None
    assert ended.started_at >= ended.run_at


async def test_a_task_that_is_not_started_in_time_expires(house: House) -> None:
    expires_at = house.runtime.clock.now() + timedelta(seconds=0.3)
    task = await house.submit("echo", expires_at=expires_at)
    async with house.scheduler():
        ended = await house.ended(task)
    assert ended.status is State.EXPIRED
    async with house.worker():
        assert await house.runtime.queue.depth("default") == 0


async def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(house: House) -> None:
    await pause(house.runtime, "default")
    async with house.worker():
        task = await house.submit("echo")
        assert (await why(house.runtime, DEFAULT_TENANT, task.id)).cause == "paused"
        other = await house.submit("echo", queue="other")
        assert (await house.ended(other)).status is State.SUCCEEDED
        assert (await get(house.runtime, DEFAULT_TENANT, task.id)).status is State.QUEUED
        await resume(house.runtime, "default")
        assert (await house.ended(task)).status is State.SUCCEEDED


async def test_a_named_queue_is_served_by_those_who_name_it(house: House) -> None:
    task = await house.submit("echo", queue="special")
    async with house.worker(queues=("default",)):
        default = await house.submit("echo")
        await house.ended(default)
        assert (await why(house.runtime, DEFAULT_TENANT, task.id)).cause == "no_worker"
    async with house.worker(queues=("special",), name="worker-2"):
        assert (await house.ended(task)).status is State.SUCCEEDED


async def test_a_task_handed_in_by_a_handler_is_its_child(house: House) -> None:
    task = await house.submit("parent")
    async with house.worker():
        ended = await house.ended(task)
        child = await house.runtime.ledger.read(DEFAULT_TENANT, ended.result)
        assert child is not None
        assert child.parent_id == task.id
        assert (await house.ended(child)).result["word"] == "child"


async def test_a_finished_step_is_not_done_again(house: House) -> None:
    task = await house.submit("stepwise")
    async with house.worker(), house.scheduler():
        ended = await house.ended(task)
    assert ended.result == [7, 1]


async def test_a_hundred_submissions_of_one_key_make_one_task(house: House) -> None:
    receipts = await asyncio.gather(*[house.receive("echo", {"word": "once"}, idempotency_key="k") for _ in range(100)])
    assert len({receipt.task.id for receipt in receipts}) == 1
    assert sum(not receipt.replayed for receipt in receipts) == 1
    with pytest.raises(KeyConflict):
        await house.submit("echo", {"word": "twice"}, idempotency_key="k")


async def test_a_key_held_until_the_end_is_free_afterwards(house: House) -> None:
    first = await house.submit("echo", idempotency_key="k", key_lifetime="until_final")
    assert (await house.receive("echo", idempotency_key="k", key_lifetime="until_final")).replayed
    async with house.worker():
        await house.ended(first)
        second = await house.receive("echo", idempotency_key="k", key_lifetime="until_final")
        assert not second.replayed
        await house.ended(second.task)


async def test_a_backlog_in_one_queue_starves_no_other(house: House) -> None:
    backlog = [await house.submit("count", queue="bulk") for _ in range(120)]
    async with house.worker(concurrency=1):
        await house.ended(backlog[3])
        urgent = await house.submit("count", queue="small", priority=0)
        queued_at = house.runtime.clock.now()
        ended = await house.ended(urgent)
        assert ended.started_at is not None
        for task in backlog:
            await house.ended(task)
    starts = [(await get(house.runtime, DEFAULT_TENANT, task.id)).started_at for task in backlog]
    overtook = sum(start is not None and queued_at < start < ended.started_at for start in starts)
    assert overtook <= 20


async def test_why_says_that_a_worker_is_gone(house: House) -> None:
    task = await house.submit("count")
    await house.runtime.queue.claim(WorkerId("vanished"), "default", 1, 60_000)
    answer = await why(house.runtime, DEFAULT_TENANT, task.id)
    assert answer.cause == "worker_gone"
    assert "vanished" in answer.detail


async def test_what_was_claimed_ahead_is_given_back_when_no_slot_becomes_free(house: House) -> None:
    async with house.worker(concurrency=1):
        for _ in range(3):
            await house.ended(await house.submit("count"))  # brisk: now it claims ahead
        lingering = await house.submit("linger")
        await house.running(lingering)
        waiting = await house.submit("count")
        async with house.worker(concurrency=1, name="worker-2"):
            ended = await house.ended(waiting)
        assert (ended.status, ended.attempt) == (State.SUCCEEDED, 1)
        await cancel(house.runtime, DEFAULT_TENANT, lingering.id)
        await house.ended(lingering)
