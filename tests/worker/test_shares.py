"""How receivers share a worker's slots for deliveries: who goes, who waits his turn, who is given back."""

import asyncio
from dataclasses import replace
from itertools import count

import orjson
import pytest

from orchestrator.clock import SystemClock
from orchestrator.domain.ids import DEFAULT_TENANT, Fence, Tenant
from orchestrator.domain.outcome import Unfit
from orchestrator.domain.subscription import DELIVER
from orchestrator.domain.task import Claim
from orchestrator.testing import FakeClock
from orchestrator.vault.vault import Vault
from orchestrator.worker import shares as module
from orchestrator.worker.shares import LONGEST_SECONDS, SLOW_SECONDS, Shares
from tests.worker.benches import claim

_FENCES = count(1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shares(clock: FakeClock) -> Shares:
    return Shares(clock, Vault((), ()))


def to(subscription: str | None, url: str | None = None, tenant: Tenant = DEFAULT_TENANT) -> Claim:
    """A delivery that was claimed."""
    sample = claim(DELIVER, orjson.dumps({"subscription": subscription, "url": url, "event": {}}))
    return replace(sample, entry=replace(sample.entry, tenant=tenant), fence=Fence(next(_FENCES)))


async def fill(shares: Shares, clock: FakeClock, *address: str | None, **whose: Tenant) -> int:
    """Let a receiver that does not answer have what it gets, and return how much that was."""
    for taken in range(100):
        claimed = to(*address, **whose)
        clock.advance(SLOW_SECONDS)
        if await shares.enter(claimed) is not None:
            return taken
    raise AssertionError


async def given_back(shares: Shares, name: str) -> float:
    """Return after how many seconds one more to this receiver comes again."""
    outcome = await shares.enter(to(name))
    assert outcome is not None
    assert (outcome.error.type, outcome.error.retryable) == ("crowded", True)
    return outcome.retry_after_seconds


async def test_each_has_as_many_as_are_left_free(shares: Shares, clock: FakeClock) -> None:
    assert [await fill(shares, clock, name) for name in "abcdefg"] == [32, 16, 8, 4, 2, 1, 1]


async def test_a_slot_that_is_free_again_serves_whoever_is_within_his_share(shares: Shares, clock: FakeClock) -> None:
    first = to("a")
    assert await shares.enter(first) is None
    assert await fill(shares, clock, "a") == 31
    assert await shares.enter(to("b")) is None
    for _ in range(2):  # who has left already changes nothing
        shares.leave(first.fence)
    assert await fill(shares, clock, "a") == 1
    assert await fill(shares, clock, "b") == 15


async def test_tenants_and_hosts_are_apart_and_the_paths_of_a_host_are_not(shares: Shares, clock: FakeClock) -> None:
    assert await fill(shares, clock, None, "https://example.com/a") == 32
    assert await fill(shares, clock, None, "https://example.com:8443/b?c=d") == 0
    assert await fill(shares, clock, None, "https://example.com/a", tenant=Tenant("other")) == 16
    assert await fill(shares, clock, None, "https://example.org/a") == 8


async def test_behind_a_brisk_receiver_each_waits_his_turn(shares: Shares) -> None:
    under_way = [to("a") for _ in range(32)]
    for each in under_way:
        assert await shares.enter(each) is None
    waiting = [to("a") for _ in range(32)]
    went: list[Fence] = []

    async def go(claimed: Claim) -> None:
        assert await shares.enter(claimed) is None
        went.append(claimed.fence)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        goers = [group.create_task(go(each)) for each in waiting]
        await asyncio.sleep(0)
        assert went == []
        goers[0].cancel()  # as when the worker leaves, or the task is cancelled
        await asyncio.wait(goers[:1])
        for each in under_way[:31]:
            shares.leave(each.fence)
    assert went == [each.fence for each in waiting[1:]]


async def test_who_was_let_in_and_cancelled_at_once_keeps_no_slot(shares: Shares, clock: FakeClock) -> None:
    under_way = [to("a") for _ in range(32)]
    for each in under_way:
        assert await shares.enter(each) is None
    unlucky = to("a")
    asked = asyncio.create_task(shares.enter(unlucky))
    await asyncio.sleep(0)
    shares.leave(under_way[0].fence)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    shares.leave(unlucky.fence)
    assert await fill(shares, clock, "a") == 1


async def test_who_waits_for_a_receiver_that_turns_out_to_be_slow_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.02)
    shares = Shares(SystemClock(), Vault((), ()))
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(shares.enter(to("a")) for _ in range(64)))
    assert [type(answer) for answer in answers] == [type(None)] * 32 + [Unfit] * 32


async def test_those_given_back_come_again_one_behind_the_other_and_not_at_once(
    shares: Shares, clock: FakeClock
) -> None:
    for _ in range(32):
        assert await shares.enter(to("a")) is None
    clock.advance(4)
    waits = [await given_back(shares, "a") for _ in range(4)]
    assert waits == pytest.approx([4.125, 4.25, 4.375, 4.5])  # 32 in four seconds, as far as anybody knows
    clock.advance(6)
    assert await given_back(shares, "a") == pytest.approx(10 + 10 / 32)
    for _ in range(1000):
        latest = await given_back(shares, "a")
    assert latest == LONGEST_SECONDS
