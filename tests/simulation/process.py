"""A simulated process: a main loop, a heart that beats beside it, a clock, and what can befall them."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from orchestrator.domain.ids import TaskId, task_id
from tests.simulation.loop import Lane, SimulationLoop

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp() * 1e6)


class SimulatedClock:
    """The loop's time, how far this machine's time of day is off, and chance by the seed."""

    def __init__(self, loop: SimulationLoop, random: Random, skew_us: int = 0) -> None:
        self._loop = loop
        self._random = random
        self._skew_us = skew_us
        self._last_stamp = START - timedelta(days=1)
        self._tail = random.getrandbits(73)

    def now(self) -> datetime:
        return START + timedelta(microseconds=self._loop.now_us + self._skew_us)

    def monotonic(self) -> float:
        return self._loop.time()

    def chance(self) -> float:
        return self._random.random()

    def stamp(self) -> datetime:
        self._last_stamp = max(self.now(), self._last_stamp + timedelta(microseconds=1))
        return self._last_stamp

    def task_id(self) -> TaskId:
        self._tail += 1
        return task_id(int(self.now().timestamp() * 1000), self._tail)

    def traceparent(self) -> str:
        ids = f"{self._random.getrandbits(192):048x}"
        return f"00-{ids[:32]}-{ids[32:]}-00"


class Process:
    """Killed, it never goes on; paused, it goes on later, as between SIGSTOP and SIGCONT."""

    def __init__(self, loop: SimulationLoop, role: str, name: str) -> None:
        self.role = role
        self.name = name
        self.main = Lane(name)
        self.heart = Lane(name)
        self.alive = True
        self.stopped = False
        self.hear: Callable[[dict[str, object]], None] | None = None
        """Takes control messages, where the process listens to them."""
        self.leave: Callable[[], None] | None = None
        """Asks it to end as SIGTERM does, where it can."""
        self._loop = loop

    def spawn(self, work: Coroutine[Any, Any, Any], *, heart: bool = False) -> Any:
        lane = self.heart if heart else self.main
        return self._loop.create_task(work, context=lane.context.copy())

    def call(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call something in the main loop, soon."""
        self._loop.call_soon(callback, *args, context=self.main.context)

    def kill(self) -> None:
        self.alive = False
        for lane in (self.main, self.heart):
            self._loop.kill_lane(lane)

    def pause(self, *, heart: bool = True) -> None:
        """Stop all of it; without the heart it is a handler that keeps the main loop busy."""
        self.stopped = True
        self._loop.stop_lane(self.main)
        if heart:
            self._loop.stop_lane(self.heart)

    def go_on(self) -> None:
        self.stopped = False
        for lane in (self.main, self.heart):
            self._loop.continue_lane(lane)
