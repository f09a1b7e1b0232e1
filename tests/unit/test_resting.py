"""Work that is made up for leaves the stores to others in between."""

from typing import Any

import pytest

from orchestrator.worker import resting
from orchestrator.worker.resting import Rests


class Clock:
    """Every act takes as long as it is told to; rests pass at once and are noted."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.rests: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    async def act(self, seconds: float) -> str:
        self.seconds += seconds
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.rests.append(round(seconds, 6))


async def test_acts_are_kept_apart_by_what_they_take_within_a_bound_and_one_alone_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock: Any = Clock()
    monkeypatch.setattr(resting.asyncio, "sleep", clock.sleep)
    rests = Rests(clock, times=2.0, longest_seconds=0.1)
    for took in (0.004, 0.5, 0.003):
        assert await rests.then(lambda took=took: clock.act(took)) == "done"  # type: ignore[misc]
    assert clock.rests == [0.008, 0.1]
    clock.seconds += 0.005
    await rests.then(lambda: clock.act(0.001))
    assert clock.rests == [0.008, 0.1, 0.001], "what has passed by itself is no rest"
