"""When a model may be asked again: after what its provider asked for, and after failures in a row.

Kept in the memory of one process, for each provider and model. `FAILURES` tries in a row that broke or found nobody
open the breaker: for `REST_SECONDS` the model is not asked. Then one try goes through; it closes the breaker, or opens
it anew.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from orchestrator.clock import Clock
from orchestrator.models.chain import Candidate
from orchestrator.models.faults import Fault, Kind

FAILURES = 5
REST_SECONDS = 30.0
_BESIDE_A_PROBE_SECONDS = 5.0
"""What those are asked to wait who come while one try is on its way."""
_SICK = frozenset({Kind.LIMITED, Kind.AWAY, Kind.SILENT, Kind.BROKEN})


@dataclass(slots=True)
class _Health:
    """Moments are on the monotonic clock."""

    asked_until: float = 0.0
    """The provider wants no call before."""
    failures: int = 0
    rests_until: float = 0.0
    is_probed: bool = False


class Breaker:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._healths: dict[Candidate, _Health] = {}

    @contextmanager
    def turn(self, candidate: Candidate) -> Iterator[Callable[[], None]]:
        """Let one try through and learn from how it ends. Raises Fault at once when it is not the time.

        Gives what to call when the answer begins: a try that finds the model back need not end before others may ask.
        """
        health = self._healths.setdefault(candidate, _Health())
        self._check(candidate, health)
        probes = health.is_probed = _is_open(health)

        def begun() -> None:
            health.is_probed = False

        try:
            yield begun
        except Fault as fault:
            self._learn(health, fault)
            raise
        else:
            health.failures = 0
        finally:
            if probes:
                begun()

    def _check(self, candidate: Candidate, health: _Health) -> None:
        now = self._clock.monotonic()
        if health.asked_until > now:
            self._refuse(candidate, health.asked_until - now, "its provider asked for that")
        if not _is_open(health):
            return
        if health.rests_until > now:
            self._refuse(candidate, health.rests_until - now, f"it failed {health.failures} times in a row")
        if health.is_probed:
            self._refuse(candidate, _BESIDE_A_PROBE_SECONDS, "another call finds out whether it is back")

    def _refuse(self, candidate: Candidate, seconds: float, why: str) -> NoReturn:
        raise Fault(Kind.RESTING, f"{candidate} is not asked for {seconds:.0f} s: {why}", seconds)

    def _learn(self, health: _Health, fault: Fault) -> None:
        now = self._clock.monotonic()
        if fault.retry_after_seconds is not None:
            health.asked_until = max(health.asked_until, now + fault.retry_after_seconds)
        elif fault.kind in _SICK:
            health.failures += 1
            if _is_open(health):
                health.rests_until = now + REST_SECONDS
        elif fault.kind is not Kind.SLOW:  # it answered, if only to refuse
            health.failures = 0


def _is_open(health: _Health) -> bool:
    return health.failures >= FAILURES
