"""Resting: what is made up for after a fault leaves the stores, and the machine, to new work for most of the time."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from orchestrator.clock import Clock

T = TypeVar("T")


async def rested(clock: Clock, act: Awaitable[T], *, times: float, longest_seconds: float) -> T:
    """Return what the act does, after a rest of so many times as long as it took.

    So a store that is slow because others use it is left to them longer.
    """
    began = clock.monotonic()
    answer = await act
    await asyncio.sleep(min(longest_seconds, times * (clock.monotonic() - began)))
    return answer
