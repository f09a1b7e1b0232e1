"""What befalls processes: sudden death, a pause past the lease, a busy loop, being asked to leave."""

from collections.abc import Callable
from random import Random

from tests.simulation.process import Process
from tests.simulation.system import LEASE_SECONDS, System

Lasting = Callable[[float, Callable[[], None]], None]
"""Takes how long a fault lasts at most, in seconds, and what ends it."""


class ProcessFaults:
    """`lasting` calls what ends a fault, after a while; `replace` starts another process in the place of one."""

    def __init__(self, system: System, random: Random, lasting: Lasting, replace: Callable[[Process], None]) -> None:
        self._system = system
        self._random = random
        self._lasting = lasting
        self._replace = replace

    def kinds(self) -> dict[Callable[[], None], float]:
        """Each with how often it is drawn beside the others."""
        return {self._kill: 6, self._pause: 4, self._busy: 2, self._leave: 2, self._sudden_deaths: 3}

    def kill(self, process: Process) -> None:
        """End a process for good, and start another in its place after a while."""
        if process.alive:
            process.kill()
            self._lasting(2.0, lambda: self._replace(process))

    def _kill(self) -> None:
        process = self._system.anyone(self._random, "worker", "worker", "api", "scheduler")
        if process is not None:
            self.kill(process)

    def _pause(self) -> None:
        process = self._system.anyone(self._random, "worker", "worker", "api", "scheduler")
        if process is not None:
            process.pause()
            self._lasting(3 * LEASE_SECONDS, process.go_on)

    def _busy(self) -> None:
        process = self._system.anyone(self._random, "worker")
        if process is not None:
            process.pause(heart=False)
            self._lasting(2 * LEASE_SECONDS, process.go_on)

    def _leave(self) -> None:
        process = self._system.anyone(self._random, "worker")
        if process is not None and process.leave is not None and not process.stopped:
            process.call(process.leave)
            process.leave = None
            self._lasting(0.5, lambda: self._replace(process))

    def _sudden_deaths(self) -> None:
        network = self._system.network
        network.crash_chance = self._random.choice([0.002, 0.01])
        self._lasting(3.0, self._no_sudden_deaths)

    def _no_sudden_deaths(self) -> None:
        self._system.network.crash_chance = 0.0
