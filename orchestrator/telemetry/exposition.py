"""The text of a scrape: the table of metrics with its figures, as Prometheus reads it.

Apart from the table, so that processes which are never scraped do not load prometheus_client, 1.6 MB of each.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from orchestrator.telemetry.metrics import METRICS, REST, SUM, Gauges, Metric, split

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


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
