"""Work that is made up for leaves the stores to others in between."""

from typing import Any

import pytest

from orchestrator.worker import resting
from orchestrator.worker.resting import rested


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
        self.rests.append(round(seconds, 6))


@pytest.mark.parametrize(("took", "rests"), [(0.0, 0.0), (0.004, 0.008), (0.5, 0.1)])
async def test_a_rest_is_as_long_as_the_act_needs_and_no_longer_than_allowed(
    monkeypatch: pytest.MonkeyPatch, took: float, rests: float
) -> None:
    clock: Any = Clock()
    monkeypatch.setattr(resting.asyncio, "sleep", clock.sleep)
    assert await rested(clock, clock.act(took), times=2.0, longest_seconds=0.1) == "done"
    assert clock.rests == [rests]
