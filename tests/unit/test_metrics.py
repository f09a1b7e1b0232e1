"""Counting in memory, and the text that Prometheus reads."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.telemetry.counts import Count, Counts
from orchestrator.telemetry.exposition import render
from orchestrator.telemetry.metrics import METRICS, STORED, Gauges, join, split

CONTRACT = {
    "aurea_tasks_total": ("type", "status"),
    "aurea_queue_depth": ("queue",),
    "aurea_queue_oldest_age_seconds": ("queue",),
    "aurea_task_duration_seconds": ("type",),
    "aurea_queue_wait_seconds": ("queue",),
    "aurea_retries_total": ("type",),
    "aurea_budget_used_usd": ("provider", "model"),
    "aurea_tasks_running": (),
    "aurea_workers": (),
    "aurea_lease_lost_total": (),
    "aurea_requeued_total": ("cause",),
    "aurea_dead_letters": (),
    "aurea_outbox_depth": (),
    "aurea_webhooks_total": ("source", "outcome"),
    "aurea_http_requests_total": ("method", "route", "status"),
    "aurea_http_requests_duration_seconds": ("method", "route"),
}
OURS = {"aurea_degraded_total": ("store",)}
WEIRD = ["", "|", "%", "%7C", "%25", "a|b", 'a"b', "a\\b", "a\nb", "ü", "}", "a,b=c"]


def stored(*drained: Iterable[Count]) -> dict[str, dict[str, float]]:
    """What Redis would hold after these writes."""
    hashes: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for counts in drained:
        for family, field, by in counts:
            hashes[family][field] += by
    return {family: dict(cells) for family, cells in hashes.items()}


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_table_holds_the_metrics_of_the_contract() -> None:
    assert {metric.name: metric.labels for metric in METRICS} == CONTRACT | OURS


def test_every_gauge_has_a_field_that_feeds_it() -> None:
    gauges = {metric.family for metric in METRICS if metric.kind == "gauge"}
    assert {field.name for field in fields(Gauges)} == gauges


def test_a_settled_task_shows_in_three_metrics() -> None:
    counts = Counts()
    counts.settled("send_mail", "succeeded", 0.2, 3.0, "default")
    shown = samples(render(stored(counts.drain()), Gauges()))
    mail, queue = ("type", "send_mail"), ("queue", "default")
    assert shown["aurea_tasks_total", (("status", "succeeded"), mail)] == 1
    assert shown["aurea_task_duration_seconds_sum", (mail,)] == 0.2
    assert shown["aurea_task_duration_seconds_bucket", (("le", "0.1"), mail)] == 0
    assert shown["aurea_task_duration_seconds_bucket", (("le", "0.25"), mail)] == 1
    assert shown["aurea_task_duration_seconds_bucket", (("le", "+Inf"), mail)] == 1
    assert shown["aurea_queue_wait_seconds_count", (queue,)] == 1


def test_a_duration_on_a_bound_belongs_to_that_bucket() -> None:
    counts = Counts()
    counts.settled("t", "failed", 1.0, 0.0, "q")
    shown = samples(render(stored(counts.drain()), Gauges()))
    assert shown["aurea_task_duration_seconds_bucket", (("le", "1.0"), ("type", "t"))] == 1
    assert shown["aurea_task_duration_seconds_bucket", (("le", "0.5"), ("type", "t"))] == 0


def test_a_duration_beyond_the_last_bound_is_counted() -> None:
    counts = Counts()
    counts.settled("t", "failed", 5000.0, 0.0, "q")
    shown = samples(render(stored(counts.drain()), Gauges()))
    assert shown["aurea_task_duration_seconds_bucket", (("le", "900.0"), ("type", "t"))] == 0
    assert shown["aurea_task_duration_seconds_count", (("type", "t"),)] == 1


def test_counts_of_many_processes_and_drains_add_up() -> None:
    one, two = Counts(), Counts()
    for counts in (one, two):
        for _ in range(3):
            counts.settled("t", "succeeded", 0.01, 0.0, "q")
            counts.http("GET", "/tasks/{id}", 200, 0.002)
    again = Counts()
    again.settled("t", "succeeded", 7.0, 0.0, "q")
    shown = samples(render(stored(one.drain(), two.drain(), again.drain()), Gauges()))
    assert shown["aurea_tasks_total", (("status", "succeeded"), ("type", "t"))] == 7
    assert shown["aurea_task_duration_seconds_bucket", (("le", "5.0"), ("type", "t"))] == 6
    assert shown["aurea_task_duration_seconds_count", (("type", "t"),)] == 7
    assert shown["aurea_http_requests_duration_seconds_count", (("method", "GET"), ("route", "/tasks/{id}"))] == 6


def test_a_drain_holds_each_field_once_and_leaves_nothing() -> None:
    counts = Counts()
    for _ in range(100):
        counts.settled("t", "succeeded", 0.01, 0.0, "q")
        counts.retried("t", 0.01, 0.0, "q")
    drained = counts.drain()
    assert len({(family, field) for family, field, _ in drained}) == len(drained)
    assert len(drained) <= 8
    assert counts.drain() == []


def test_counts_that_could_not_be_written_come_again() -> None:
    counts = Counts()
    counts.lease_lost(2)
    lost = counts.drain()
    counts.lease_lost()
    counts.restore(lost)
    assert counts.drain() == [("lease_lost_total", "", 3)]


def test_every_count_reaches_its_own_metric() -> None:
    counts = Counts()
    counts.retried("t", 0.1, 0.1, "q")
    counts.ended("t", "cancelled", 2)
    counts.requeued("released", 4)
    counts.webhook("github", "accepted")
    counts.lease_lost()
    shown = samples(render(stored(counts.drain()), Gauges()))
    assert shown["aurea_retries_total", (("type", "t"),)] == 1
    assert shown["aurea_tasks_total", (("status", "cancelled"), ("type", "t"))] == 2
    assert shown["aurea_requeued_total", (("cause", "released"),)] == 4
    assert shown["aurea_webhooks_total", (("outcome", "accepted"), ("source", "github"))] == 1
    assert shown["aurea_lease_lost_total", ()] == 1


def test_an_unknown_method_opens_no_series_of_its_own() -> None:
    counts = Counts()
    for number in range(50):
        counts.http(f"X{number}", "unmatched", 405, 0.001)
    requests = [field for family, field, _ in counts.drain() if family == "http_requests_total"]
    assert requests == ["OTHER|unmatched|405"]


@pytest.mark.parametrize("value", WEIRD)
def test_a_label_value_survives_redis_and_the_text_format(value: str) -> None:
    assert split(join([value, "x", value])) == [value, "x", value]
    counts = Counts()
    counts.settled(value, "succeeded", 0.1, 0.1, value)
    shown = samples(render(stored(counts.drain()), Gauges(queue_depth={value: 7})))
    assert shown["aurea_tasks_total", (("status", "succeeded"), ("type", value))] == 1
    assert shown["aurea_task_duration_seconds_count", (("type", value),)] == 1
    assert shown["aurea_queue_depth", (("queue", value),)] == 7


def test_gauges_show_what_is_so_now() -> None:
    gauges = Gauges(
        queue_depth={"default": 3, "slow": 0},
        queue_oldest_age_seconds={"default": 1.5},
        budget_used_usd={("anthropic", "model-1"): 0.25},
        tasks_running=2,
        workers=1,
        dead_letters=4,
        outbox_depth=5,
    )
    shown = samples(render({}, gauges))
    assert shown["aurea_queue_depth", (("queue", "slow"),)] == 0
    assert shown["aurea_queue_oldest_age_seconds", (("queue", "default"),)] == 1.5
    assert shown["aurea_budget_used_usd", (("model", "model-1"), ("provider", "anthropic"))] == 0.25
    assert [shown[f"aurea_{name}", ()] for name in ("tasks_running", "workers", "dead_letters", "outbox_depth")] == [
        *(2, 1, 4, 5)
    ]


def test_fields_of_another_version_are_left_out() -> None:
    rows = {"tasks_total": {"t|succeeded": 1.0, "only_one_label": 9.0}, "task_duration_seconds": {"t|x|0.1": 1.0}}
    shown = samples(render(rows, Gauges()))
    assert [value for (name, _), value in shown.items() if name == "aurea_tasks_total"] == [1.0]
    assert not [name for name, _ in shown if name.startswith("aurea_task_duration_seconds")]


def test_only_counters_and_histograms_are_kept_in_redis() -> None:
    assert {metric.family for metric in STORED} == {
        *("tasks_total", "retries_total", "lease_lost_total", "requeued_total", "webhooks_total", "degraded_total"),
        *("http_requests_total", "task_duration_seconds", "queue_wait_seconds", "http_requests_duration_seconds"),
    }
