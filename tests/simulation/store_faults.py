"""What befalls the stores: forgetting, restarting, failing over, being away, hanging."""

from collections.abc import Callable
from random import Random

from tests.simulation.network import Store
from tests.simulation.process_faults import Lasting
from tests.simulation.system import System


class StoreFaults:
    """What only Redis has is not taken away: that would be a second fault on top of the one that put it there."""

    def __init__(self, system: System, random: Random, lasting: Lasting) -> None:
        self._system = system
        self._random = random
        self._lasting = lasting

    def kinds(self) -> dict[Callable[[], None], float]:
        """Each with how often it is drawn beside the others."""
        return {
            self._flush: 1.5, self._restart: 1.5, self._fail_over: 1.5, self._redis_away: 2, self._postgres_away: 2,
            self._both_away: 0.5, self._hang: 2,
        }  # fmt: skip

    def _flush(self) -> None:
        if self._system.redis.owes:
            return
        self._system.redis.flush()
        self._system.witness.forget_queue()

    def _restart(self) -> None:
        self._system.redis.restart()

    def _fail_over(self) -> None:
        redis, witness = self._system.redis, self._system.witness
        replica, emptied = redis.snapshot(), redis.emptied

        def promote() -> None:
            if redis.emptied == emptied and not redis.owes:
                redis.fail_over(replica)
                witness.forget_queue()

        self._lasting(0.5, promote)

    def _redis_away(self) -> None:
        self._take_away(self._system.redis, 4.0)

    def _postgres_away(self) -> None:
        self._take_away(self._system.postgres, 6.0)

    def _both_away(self) -> None:
        self._take_away(self._system.redis, 3.0)
        self._take_away(self._system.postgres, 3.0)

    def _take_away(self, store: Store, longest_seconds: float) -> None:
        if store.away or store.hung:
            return
        store.away = True
        if store is self._system.redis:
            self._system.redis.hang_up()

        def back() -> None:
            store.away = False

        self._lasting(longest_seconds, back)

    def _hang(self) -> None:
        system = self._system
        store: Store = self._random.choice([system.redis, system.postgres])
        if store.away or store.hung:
            return
        store.hung = True

        def go_on() -> None:
            store.hung = False
            system.network.release()

        self._lasting(5.0, go_on)
