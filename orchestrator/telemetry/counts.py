"""What one process counted since it last told Redis.

Adding is a dictionary increment, because it happens for every task; label values are joined and buckets spelled
only when the counts are drained, once per batch. Used on the event loop alone: nothing here locks.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from orchestrator.telemetry.metrics import METRICS, REST, SUM, join

Count = tuple[str, str, float]
"""Family, field, and by how much it grew."""

_BOUNDS = {metric.family: metric.bounds for metric in METRICS}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Histogram:
    """Bucket counts and sums by label values; the last bucket is `+Inf`, the cell after it the sum."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._bounds = _BOUNDS[family]
        self._suffixes = [*(str(bound) for bound in self._bounds), REST, SUM]
        self._cells: dict[tuple[str, ...], list[float]] = {}

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        cells = self._cells.get(labels)
        if cells is None:
            cells = self._cells[labels] = [0] * len(self._suffixes)
        cells[bisect_left(self._bounds, value)] += 1
        cells[-1] += value

    def drain(self) -> Iterator[Count]:
        drained, self._cells = self._cells, {}
        for labels, cells in drained.items():
            for suffix, by in zip(self._suffixes, cells, strict=True):
                if by:
                    yield self._family, join((*labels, suffix)), round(by, 6)


class Counts:
    """Counts in memory. What was drained and could not be written goes back with `restore`."""

    def __init__(self) -> None:
        self._counters: defaultdict[tuple[str, tuple[str, ...]], int] = defaultdict(int)
        self._durations = _Histogram("task_duration_seconds")
        self._waits = _Histogram("queue_wait_seconds")
        self._requests = _Histogram("http_requests_duration_seconds")
        self._restored: list[Count] = []

    def settled(self, type_name: str, status: str, duration_seconds: float, wait_seconds: float, queue: str) -> None:
        """An attempt ended and its task became final with this status."""
        self._counters["tasks_total", (type_name, status)] += 1
        self._durations.observe((type_name,), duration_seconds)
        self._waits.observe((queue,), wait_seconds)

    def retried(self, type_name: str, duration_seconds: float, wait_seconds: float, queue: str) -> None:
        """An attempt failed and its task will be tried again."""
        self._counters["retries_total", (type_name,)] += 1
        self._durations.observe((type_name,), duration_seconds)
        self._waits.observe((queue,), wait_seconds)

    def ended(self, type_name: str, status: str, number: int = 1) -> None:
        """Tasks became final without an attempt: cancelled or expired."""
        self._counters["tasks_total", (type_name, status)] += number

    def lease_lost(self, number: int = 1) -> None:
        self._counters["lease_lost_total", ()] += number

    def requeued(self, cause: str, number: int = 1) -> None:
        self._counters["requeued_total", (cause,)] += number

    def degraded(self, store: str) -> None:
        """A process does without a store from now on."""
        self._counters["degraded_total", (store,)] += 1

    def webhook(self, source: str, outcome: str) -> None:
        """`source` is one the process knows: a name from a request would let a stranger grow the series."""
        self._counters["webhooks_total", (source, outcome)] += 1

    def http(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the template, such as `/tasks/{id}`, never the path. An unknown method counts as `OTHER`."""
        if method not in _METHODS:
            method = "OTHER"
        self._counters["http_requests_total", (method, route, str(status))] += 1
        self._requests.observe((method, route), seconds)

    def drain(self) -> list[Count]:
        """Return everything counted since the last drain, each field once, and forget it."""
        restored, self._restored = self._restored, []
        counters, self._counters = self._counters, defaultdict(int)
        drained: list[Count] = [(family, join(labels), by) for (family, labels), by in counters.items()]
        for histogram in (self._durations, self._waits, self._requests):
            drained.extend(histogram.drain())
        return _merged(restored, drained) if restored else drained

    def restore(self, counts: Sequence[Count]) -> None:
        """Take back counts whose write failed; the next drain holds them again."""
        self._restored.extend(counts)


def _merged(*parts: Sequence[Count]) -> list[Count]:
    totals: defaultdict[tuple[str, str], float] = defaultdict(float)
    for part in parts:
        for family, field, by in part:
            totals[family, field] += by
    return [(family, field, by) for (family, field), by in totals.items()]
