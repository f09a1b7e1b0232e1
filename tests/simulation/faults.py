"""What befalls a simulated system, drawn by the seed: to processes, to connections, to stores."""

import asyncio
from collections.abc import Callable
from random import Random

from tests.simulation.link_faults import LinkFaults
from tests.simulation.process import Process
from tests.simulation.process_faults import ProcessFaults
from tests.simulation.store_faults import StoreFaults
from tests.simulation.system import System

_MOST_AT_ONCE = 6
_SHORTEST_SECONDS = 0.05


class Faults:
    """Draws a mood for the whole run, then one fault after the other until `heal`."""

    def __init__(self, system: System, random: Random, replace: Callable[[Process], None]) -> None:
        self.drawn: dict[str, int] = {}
        self._system = system
        self._random = random
        self._open: list[Callable[[], None]] = []
        """What ends each fault that lasts."""
        self._healed = False
        processes = ProcessFaults(system, random, self._lasting, replace)
        self.kill = processes.kill
        stores, links = StoreFaults(system, random, self._lasting), LinkFaults(system, random, self._lasting)
        kinds = processes.kinds() | stores.kinds() | links.kinds()
        self._kinds = [kind for kind in kinds if random.random() < 0.7] or list(kinds)
        self._weights = [kinds[kind] for kind in self._kinds]
        self._pause_seconds = random.choice([0.3, 0.8, 2.0])

    async def befall(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._pause_seconds))
            if len(self._open) < _MOST_AT_ONCE:
                (kind,) = self._random.choices(self._kinds, self._weights)
                name = kind.__name__.strip("_")
                self.drawn[name] = self.drawn.get(name, 0) + 1
                self._system.network.note("faults", name, None)
                kind()

    def heal(self) -> None:
        """End everything that lasts, and what may still come at once. Nothing new may be drawn any more."""
        self._healed = True
        for end in list(self._open):
            end()

    def _lasting(self, longest_seconds: float, end: Callable[[], None]) -> None:
        """Call `end` once: after a while, or when the system is healed."""
        if self._healed:
            end()
            return

        def once() -> None:
            if once in self._open:
                self._open.remove(once)
                end()

        self._open.append(once)
        seconds = _SHORTEST_SECONDS + self._random.random() ** 2 * (longest_seconds - _SHORTEST_SECONDS)
        self._system.network.after(int(seconds * 1e6), once)
