"""Every metric of the system, in one table.

Counters and histograms are added up in Redis, one hash per family (`Metric.family`), so that a scrape of any API
process shows the whole system; gauges are read at the moment of the scrape. A field of such a hash is the label
values joined by "|" (see `join`); in a histogram's hash a bucket's upper bound, or "sum", follows. Bucket counts
are stored apart and added up here, as the exposition format wants them.

To add a metric, add a row here; `counts.py` or `Gauges` then feeds it, and `exposition.py` writes it down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SPANS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Upper bounds in seconds for what takes from milliseconds to a task's timeout."""
REQUESTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SUM, REST = "sum", "+Inf"


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
