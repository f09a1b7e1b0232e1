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

_MICROSECOND = timedelta(microseconds=1)


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
        self._id_head = ""
        self._id_count = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def chance(self) -> float:
        return random.random()  # noqa: S311 - jitter, not a secret

    def stamp(self) -> datetime:
        now = datetime.now(UTC)
        if now <= self._last_stamp:
            now = self._last_stamp + _MICROSECOND
        self._last_stamp = now
        return now

    def task_id(self) -> TaskId:
        ms = time.time_ns() // 1_000_000
        if ms > self._last_ms:
            self._last_ms = ms
            self._id_head = task_id(ms, secrets.randbits(74)).rpartition("-")[0]
            self._id_count = secrets.randbits(47)  # the last group's top bit stays free, so counting up cannot overflow
        else:
            self._id_count += 1
        return TaskId(f"{self._id_head}-{self._id_count:012x}")

    def traceparent(self) -> str:
        ids = f"{random.getrandbits(192):048x}"
        return f"00-{ids[:32]}-{ids[32:]}-00"
