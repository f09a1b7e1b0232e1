"""A cancellation wins whatever happens beside it, and spends no more than it must."""

import asyncio
from collections.abc import Iterator

import pytest

from orchestrator.domain.errors import Conflict, NotFound, Unavailable
from orchestrator.domain.ids import DEFAULT_TENANT, Fence, TaskId, WorkerId
from orchestrator.domain.states import State
from orchestrator.domain.task import Task
from orchestrator.operations.cancel import cancel
from orchestrator.operations.fences import fresh_fence, open_epoch
from orchestrator.operations.replay import retry
from orchestrator.queue.port import FENCE_COUNTER_BITS
from tests.worker.conftest import House

UNKNOWN = TaskId("01976a00-0000-7000-8000-000000000000")


class Outage:
    """Redis away for those who mint and drop, until `end`."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        for name in ("mint", "drop"):
            monkeypatch.setattr(house.runtime.queue, name, self._refuse)

    async def _refuse(self, *_: object) -> None:
        raise Unavailable("redis")

    def end(self) -> None:
        self._patch.undo()


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


async def cancelled(house: House, *tasks: Task) -> set[State]:
    answers = await asyncio.gather(*[cancel(house.runtime, DEFAULT_TENANT, task.id) for task in tasks])
    return {answer.status for answer in answers}


async def test_a_refused_cancellation_costs_no_epoch_while_redis_is_away(
    house: House, patch: pytest.MonkeyPatch
) -> None:
    ended = await house.submit("echo")
    async with house.worker():
        await house.ended(ended)
    last = await house.runtime.ledger.last_epoch()
    Outage(house, patch)
    with pytest.raises(NotFound):
        await cancel(house.runtime, DEFAULT_TENANT, UNKNOWN)
    with pytest.raises(Conflict):
        await cancel(house.runtime, DEFAULT_TENANT, ended.id)
    with pytest.raises(NotFound):
        await retry(house.runtime, DEFAULT_TENANT, UNKNOWN)
    assert await house.runtime.ledger.last_epoch() == last


async def test_a_retry_of_what_has_not_ended_costs_no_epoch(house: House, patch: pytest.MonkeyPatch) -> None:
    task = await house.submit("echo")
    last = await house.runtime.ledger.last_epoch()
    Outage(house, patch)
    with pytest.raises(Conflict):
        await retry(house.runtime, DEFAULT_TENANT, task.id)
    assert await house.runtime.ledger.last_epoch() == last


async def test_an_outage_costs_one_epoch_however_many_are_cancelled(house: House, patch: pytest.MonkeyPatch) -> None:
    tasks = [await house.submit("echo") for _ in range(6)]
    last = await house.runtime.ledger.last_epoch()
    Outage(house, patch)
    assert await cancelled(house, *tasks[:3]) == {State.CANCELLED}
    assert await cancelled(house, *tasks[3:]) == {State.CANCELLED}
    assert await house.runtime.ledger.last_epoch() == last + 1
    fences = {(await cancel(house.runtime, DEFAULT_TENANT, task.id)).fence for task in tasks}
    assert fences == {((last + 1) << FENCE_COUNTER_BITS) + number for number in range(1, 7)}


async def test_many_fences_at_the_same_moment_share_one_epoch(house: House, patch: pytest.MonkeyPatch) -> None:
    last = await house.runtime.ledger.last_epoch()
    Outage(house, patch)
    fences = await asyncio.gather(*[fresh_fence(house.runtime) for _ in range(20)])
    assert sorted(fences) == [((last + 1) << FENCE_COUNTER_BITS) + number for number in range(1, 21)]
    assert await house.runtime.ledger.last_epoch() == last + 1


async def test_a_fence_is_above_what_another_process_was_given_meanwhile(
    house: House, patch: pytest.MonkeyPatch
) -> None:
    Outage(house, patch)
    first = await fresh_fence(house.runtime)
    elsewhere = await house.runtime.ledger.next_epoch()
    assert first < elsewhere << FENCE_COUNTER_BITS < await fresh_fence(house.runtime)


async def test_what_was_cancelled_in_an_outage_can_be_replayed_and_cancelled_right_behind_it(
    house: House, patch: pytest.MonkeyPatch
) -> None:
    task = await house.submit("echo")
    outage = Outage(house, patch)
    assert await cancelled(house, task) == {State.CANCELLED}
    outage.end()
    assert (await retry(house.runtime, DEFAULT_TENANT, task.id)).status is State.QUEUED
    last = await house.runtime.ledger.last_epoch()
    assert await cancelled(house, task) == {State.CANCELLED}
    assert await open_epoch(house.runtime) is None
    assert await house.runtime.ledger.last_epoch() == last, "minted by Redis again"


async def test_a_task_that_starts_while_it_is_being_cancelled_is_cancelled(
    house: House, patch: pytest.MonkeyPatch
) -> None:
    task = await house.submit("echo")
    mint = house.runtime.queue.mint

    async def mint_and_be_late() -> Fence:
        fence = await mint()
        for claim in await house.runtime.queue.claim(WorkerId("worker-1"), "default", 1, 60_000):
            await house.runtime.ledger.start([claim])
        return fence

    patch.setattr(house.runtime.queue, "mint", mint_and_be_late)
    assert await cancelled(house, task) == {State.CANCELLED}
    assert await house.runtime.queue.leased() == []
