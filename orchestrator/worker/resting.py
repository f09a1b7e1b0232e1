"""Resting: work that is made up for, perhaps a hundred thousand tasks of it, leaves room for new work in between."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from orchestrator.clock import Clock

T = TypeVar("T")


class Rests:
    """Keeps acts apart by so many times as long as the one before took, within a bound. One alone waits for nothing."""

    def __init__(self, clock: Clock, *, times: float, longest_seconds: float) -> None:
        self._clock = clock
        self._times = times
        self._longest_seconds = longest_seconds
        self._until = clock.monotonic()

    async def then(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do it as soon as the rest behind the one before is over. They are asked for one after the other."""
        began = self._clock.monotonic()
        if began < self._until:
            await asyncio.sleep(self._until - began)
            began = self._clock.monotonic()
        answer = await act()
        ended = self._clock.monotonic()
        self._until = ended + min(self._longest_seconds, self._times * (ended - began))
        return answer
