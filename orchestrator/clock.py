"""The only reader of time and chance.

`Clock` is what the code asks; `SystemClock` answers from the machine, `orchestrator.testing.FakeClock` from
a test. Leases and schedules do not use it: they run on Redis' and Postgres' clocks.
"""

import random
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from orchestrator.domain.ids import TaskId, task_id


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    def chance(self) -> float:
        """Uniform in [0, 1)."""

    def stamp(self) -> datetime:
        """A time of day that is later than every stamp before it, by a microsecond at least."""

    def task_id(self) -> TaskId:
        """A fresh UUIDv7 that sorts behind every one before it in this process."""

    def traceparent(self) -> str:
        """A fresh W3C trace context, not sampled."""


class SystemClock:
    """The machine's clocks and randomness."""

    def __init__(self) -> None:
        self._last_stamp = datetime.min.replace(tzinfo=UTC)
        self._last_ms = 0
        self._tail = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def chance(self) -> float:
        return random.random()  # noqa: S311 - jitter, not a secret

    def stamp(self) -> datetime:
        now = self.now()
        if now <= self._last_stamp:
            now = self._last_stamp + timedelta(microseconds=1)
        self._last_stamp = now
        return now

    def task_id(self) -> TaskId:
        ms = time.time_ns() // 1_000_000
        if ms > self._last_ms:
            self._last_ms = ms
            self._tail = secrets.randbits(73)  # the top bit stays free, so counting up cannot overflow
        else:
            self._tail += 1
        return task_id(self._last_ms, self._tail)

    def traceparent(self) -> str:
        ids = f"{random.getrandbits(192):048x}"
        return f"00-{ids[:32]}-{ids[32:]}-00"
