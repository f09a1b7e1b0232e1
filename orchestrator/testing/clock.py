"""Time and chance in the hands of a test."""

from datetime import UTC, datetime, timedelta

from orchestrator.domain.ids import TaskId, task_id

_START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Time that moves when a test says so, and chance that always falls the same way."""

    def __init__(self, start: datetime = _START, chance: float = 0.5) -> None:
        self._now = start
        self._start = start
        self._chance = chance
        self._made = 0

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def chance(self) -> float:
        return self._chance

    def stamp(self) -> datetime:
        self._now += timedelta(microseconds=1)
        return self._now

    def task_id(self) -> TaskId:
        self._made += 1
        return task_id(int(self._now.timestamp() * 1000), self._made)

    def traceparent(self) -> str:
        self._made += 1
        return f"00-{self._made:032x}-{self._made:016x}-00"
