"""The way between processes and stores: every effect is two messages, and either may be late or lost.

A request that arrives takes effect at one go, whatever has become of its sender. The sender learns of it when the
answer arrives, or is told Unavailable: nothing happened then, or it did. A step of the simulation is one of these
two: an effect, or the word of it.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.call import TIMEOUT_US, Call
from tests.simulation.loop import SimulationLoop
from tests.simulation.process import Process


@dataclass(slots=True)
class Link:
    """What a process' connection to a store does to messages: chances, and whether it is cut."""

    lost_request: float = 0.0
    lost_reply: float = 0.0
    late: float = 0.01
    cut: bool = False


@dataclass(slots=True)
class Store:
    """A store as the network sees it."""

    name: str
    away: bool = False
    hung: bool = False


Event = tuple[int, int, str, str, Any]
"""Step, moment in µs, process, act, and what it is about."""


class Network:
    """Carries every call between a process and a store, counts the steps and keeps the last of them."""

    def __init__(self, loop: SimulationLoop, random: Random, steps: int = 0) -> None:
        self.steps = 0
        self.effects = 0
        self.digest = 0
        """Equal for equal runs."""
        self.trace: deque[Event] = deque(maxlen=2_000)
        self.crash_chance = 0.0
        """Of the sender's sudden death right before or after an effect."""
        self.crash: Callable[[Process], None] = lambda process: process.kill()
        self.reached = asyncio.Event()
        """Set when there were as many steps as were asked for."""
        self._most_steps = steps
        self._loop = loop
        self._random = random
        self._links: dict[tuple[str, str], Link] = {}
        self._held: list[Callable[[], None]] = []

    def link(self, process: Process, store: Store) -> Link:
        return self._links.setdefault((process.name, store.name), Link())

    async def ask(self, process: Process, store: Store, what: str, about: Any, act: Callable[[], Any]) -> Any:
        """Let `act` happen at the store and return its answer, or raise Unavailable, whether it happened or not."""
        call = Call(self, process, store, what, about, act, self._loop.create_future())
        call.send()
        return await call.answer

    def note(self, who: str, what: str, about: Any) -> None:
        self.steps += 1
        if self.steps == self._most_steps:
            self.reached.set()
        self.trace.append((self.steps, self._loop.now_us, who, what, about))
        self.digest = zlib.crc32(f"{self._loop.now_us} {who} {what}".encode(), self.digest)

    def latency_us(self, late: float) -> int:
        chance = self._random.random()
        if chance < late:
            return int(self._random.random() * 2.5 * TIMEOUT_US * self._random.random())
        return int(chance * chance * 3_000)

    def draws(self, chance: float) -> bool:
        return chance > 0.0 and self._random.random() < chance

    def after(self, delay_us: int, act: Callable[..., None], *arguments: Any) -> None:
        loop = self._loop
        loop.call_at((loop.now_us + delay_us) / 1e6, act, *arguments, context=loop.ground.context)

    def hold(self, act: Callable[[], None]) -> None:
        self._held.append(act)

    def release(self) -> None:
        """A store that hung goes on with what it was asked meanwhile."""
        held, self._held = self._held, []
        for act in held:
            self.after(self.latency_us(0.0), act)
