"""What befalls connections: cut, losing messages one way or the other, slow."""

from collections.abc import Callable
from random import Random

from tests.simulation.network import Link, Store
from tests.simulation.process_faults import Lasting
from tests.simulation.system import LEASE_SECONDS, System


class LinkFaults:
    """Each hits the connection of one process to one store."""

    def __init__(self, system: System, random: Random, lasting: Lasting) -> None:
        self._system = system
        self._random = random
        self._lasting = lasting

    def kinds(self) -> dict[Callable[[], None], float]:
        """Each with how often it is drawn beside the others."""
        return {self._cut: 3, self._drop_messages: 4, self._slow: 2}

    def _link(self) -> Link | None:
        process = self._system.anyone(self._random, "worker", "api", "scheduler")
        if process is None:
            return None
        store: Store = self._random.choice([self._system.redis, self._system.postgres])
        return self._system.network.link(process, store)

    def _cut(self) -> None:
        link = self._link()
        if link is not None:
            link.cut = True
            self._lasting(2 * LEASE_SECONDS, lambda: setattr(link, "cut", False))

    def _drop_messages(self) -> None:
        link = self._link()
        if link is not None:
            link.lost_request = self._random.choice([0.0, 0.1, 0.4])
            link.lost_reply = self._random.choice([0.1, 0.4, 0.9])

            def mend() -> None:
                link.lost_request = link.lost_reply = 0.0

            self._lasting(2 * LEASE_SECONDS, mend)

    def _slow(self) -> None:
        link = self._link()
        if link is not None:
            link.late = self._random.choice([0.1, 0.5])
            self._lasting(5.0, lambda: setattr(link, "late", 0.01))
