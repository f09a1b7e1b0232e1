"""What a chore is: a name, a pace, and one tick of work that says whether there is more to do at once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Tick = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Chore:
    """`tick` returns True when it stopped at its batch and wants to go on without waiting."""

    name: str
    every_seconds: float
    tick: Tick
