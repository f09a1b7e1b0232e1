"""Every metric of the system: one table, and its text for Prometheus.

Counters and histograms are added up in Redis, one hash per family (`Metric.family`), so that a scrape of any API
process shows the whole system; gauges are read at the moment of the scrape. A field of such a hash is the label
values joined by "|" (see `join`); in a histogram's hash a bucket's upper bound, or "sum", follows. Bucket counts
are stored apart and added up here, as the exposition format wants them.

To add a metric, add a row here; `counts.py` or `Gauges` then feeds it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SPANS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Upper bounds in seconds for what takes from milliseconds to a task's timeout."""
REQUESTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SUM, REST = "sum", "+Inf"

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table. The unit is in the name, as Prometheus asks."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        """The name without `aurea_`: its hash in Redis, and its field in `Gauges`."""
        return self.name.removeprefix("aurea_")


METRICS = (
    Metric("aurea_tasks_total", "counter", ("type", "status"), "Tasks that reached a final state."),
    Metric("aurea_retries_total", "counter", ("type",), "Attempts that failed and will be tried again."),
    Metric("aurea_lease_lost_total", "counter", (), "Attempts whose lease was lost: their result is dropped."),
    Metric("aurea_requeued_total", "counter", ("cause",), "Tasks put back into their queue, by why."),
    Metric("aurea_degraded_total", "counter", ("store",), "Times that a process began to do without a store."),
    Metric("aurea_webhooks_total", "counter", ("source", "outcome"), "Webhook deliveries, by what became of them."),
    Metric("aurea_http_requests_total", "counter", ("method", "route", "status"), "Requests answered by the API."),
    Metric("aurea_task_duration_seconds", "histogram", ("type",), "From the start of an attempt to its end.", SPANS),
    Metric("aurea_queue_wait_seconds", "histogram", ("queue",), "From ready to claimed.", SPANS),
    Metric(
        "aurea_http_requests_duration_seconds", "histogram", ("method", "route"), "From request to answer.", REQUESTS
    ),
    Metric("aurea_queue_depth", "gauge", ("queue",), "Tasks that are due and held by nobody."),
    Metric("aurea_queue_oldest_age_seconds", "gauge", ("queue",), "Since the first task in order became ready."),
    Metric("aurea_budget_used_usd", "gauge", ("provider", "model"), "Spent on models today, by the whole system."),
    Metric("aurea_tasks_running", "gauge", (), "Tasks under a lease."),
    Metric("aurea_workers", "gauge", (), "Live worker processes."),
    Metric("aurea_dead_letters", "gauge", (), "Tasks that failed for good and wait for a decision."),
    Metric("aurea_outbox_depth", "gauge", (), "Writes in Redis that wait for Postgres."),
)  # fmt: skip
STORED = tuple(metric for metric in METRICS if metric.kind != "gauge")


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is so at the moment of the scrape. Field names are the metrics' without `aurea_`."""

    queue_depth: Mapping[str, int] = field(default_factory=dict)
    queue_oldest_age_seconds: Mapping[str, float] = field(default_factory=dict)
    budget_used_usd: Mapping[tuple[str, str], float] | None = field(default_factory=dict)
    """None when nobody knows: no sample then; likewise `dead_letters`."""
    tasks_running: int = 0
    workers: int = 0
    dead_letters: int | None = 0
    outbox_depth: int = 0


def join(values: Sequence[str]) -> str:
    """Return the hash field of these label values; `split` gives them back whatever they hold."""
    return "|".join([value.replace("%", "%25").replace("|", "%7C") for value in values])


def split(text: str) -> list[str]:
    """Undo `join`."""
    return [part.replace("%7C", "|").replace("%25", "%") for part in text.split("|")]


def render(stored: Mapping[str, Mapping[str, float]], gauges: Gauges) -> bytes:
    """Return the Prometheus text, format 0.0.4, of the stored families and the gauges.

    A family that is missing, or a field that does not fit the table (written by another version), is left out.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(stored, gauges))
    return generate_latest(registry)


class _Reading:
    """One scrape, in the shape that prometheus_client collects."""

    def __init__(self, stored: Mapping[str, Mapping[str, float]], gauges: Gauges) -> None:
        self._stored = stored
        self._gauges = gauges

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            match metric.kind:
                case "counter":
                    yield _counter(metric, self._stored.get(metric.family, {}))
                case "histogram":
                    yield _histogram(metric, self._stored.get(metric.family, {}))
                case "gauge":
                    yield _gauge(metric, getattr(self._gauges, metric.family))


def _counter(metric: Metric, fields: Mapping[str, float]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    if not metric.labels:
        family.add_metric([], fields.get("", 0))
        return family
    for text, value in sorted(fields.items()):
        labels = split(text)
        if len(labels) == len(metric.labels):
            family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, fields: Mapping[str, float]) -> Family:
    series: dict[tuple[str, ...], dict[str, float]] = {}
    for text, value in sorted(fields.items()):
        *labels, part = split(text)
        if len(labels) == len(metric.labels):
            series.setdefault(tuple(labels), {})[part] = value
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for key, parts in series.items():
        buckets, total = [], 0.0
        for bound in (*(str(bound) for bound in metric.bounds), REST):
            total += parts.get(bound, 0)
            buckets.append((bound, total))
        family.add_metric(key, buckets, parts.get(SUM, 0))
    return family


def _gauge(metric: Metric, value: float | Mapping[str | tuple[str, str], float] | None) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    if value is None:
        return family
    if not isinstance(value, Mapping):
        family.add_metric([], value)
        return family
    for key, number in sorted(value.items()):
        family.add_metric([key] if isinstance(key, str) else key, number)
    return family
