"""One trace from the submit through the queue to a handler's HTTP calls."""

import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from pytest_httpserver import HTTPServer

from orchestrator.domain.ids import DEFAULT_TENANT, Fence, TaskId, WorkerId
from orchestrator.domain.task import Claim, Entry, TaskError
from orchestrator.egress import open_client
from orchestrator.telemetry import logs
from orchestrator.telemetry.spans import Spans
from orchestrator.telemetry.traces import Traces, open_traces, outgoing_headers

TASK = TaskId("01997c0e-0000-7000-8000-000000000001")
SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"


def claim(traceparent: str, attempt: int = 1) -> Claim:
    entry = Entry(TASK, DEFAULT_TENANT, "noop", "slow", 5, b"{}", 6, 900.0, traceparent)
    return Claim(entry, Fence(1), attempt, WorkerId("w"), 0, 0, settled_epoch=True)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> Iterator[Traces]:
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(1.0)))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    opened = Traces(Spans(provider))
    yield opened
    opened.stop()


@pytest.fixture
async def http(httpserver: HTTPServer) -> AsyncIterator[httpx2.AsyncClient]:
    httpserver.expect_request("/x").respond_with_data("ok")
    async with open_client([f"{httpserver.host}:{httpserver.port}"], headers=outgoing_headers) as client:
        yield client


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


async def test_one_trace_leads_from_the_caller_to_what_the_handler_calls(
    traces: Traces, exporter: InMemorySpanExporter, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    stored = traces.send(TASK, "slow", SAMPLED)
    assert stored is not None
    with traces.process(claim(stored)):
        await http.get(httpserver.url_for("/x?key=private"))

    spans = by_name(exporter)
    send, process, get = spans["send slow"], spans["process slow"], spans["GET"]
    assert {f"{span.context.trace_id:032x}" for span in (send, process, get)} == {"a" * 32}
    assert f"{send.parent.span_id:016x}" == "b" * 16
    assert process.parent.span_id == send.context.span_id
    assert get.parent.span_id == process.context.span_id
    assert [span.kind for span in (send, process, get)] == [SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT]
    received = httpserver.log[0][0].headers["traceparent"]
    assert received == f"00-{'a' * 32}-{get.context.span_id:016x}-01"


async def test_spans_follow_the_messaging_conventions(traces: Traces, exporter: InMemorySpanExporter) -> None:
    with traces.process(claim(str(traces.send(TASK, "slow", SAMPLED)))):
        pass
    spans = by_name(exporter)
    for operation in ("send", "process"):
        attributes = dict(spans[f"{operation} slow"].attributes or {})
        assert attributes["messaging.system"] == "aurea"
        assert attributes["messaging.destination.name"] == "slow"
        assert attributes["messaging.message.id"] == TASK
        assert attributes["messaging.operation.type"] == operation
    assert attributes["aurea.attempt"] == 1


async def test_the_query_string_is_not_in_the_span(
    traces: Traces, exporter: InMemorySpanExporter, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    with traces.process(claim(SAMPLED)):
        await http.get(httpserver.url_for("/x?token=canary"))
    assert "canary" not in str(dict(by_name(exporter)["GET"].attributes or {}))


async def test_a_path_that_is_secret_is_not_in_the_span(
    traces: Traces, exporter: InMemorySpanExporter, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    with traces.process(claim(SAMPLED)):
        await http.get(httpserver.url_for("/x/canary?a=1"), extensions={"hide_path": True})
    attributes = str(dict(by_name(exporter)["GET"].attributes or {}))
    assert "canary" not in attributes
    assert httpserver.url_for("/") in attributes


async def test_a_retry_stays_in_the_trace_and_links_to_the_submit(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    with traces.process(claim(SAMPLED, attempt=2)):
        pass
    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == "a" * 32
    assert [f"{link.context.span_id:016x}" for link in span.links] == ["b" * 16]


async def test_a_failed_attempt_is_marked_without_its_message(traces: Traces, exporter: InMemorySpanExporter) -> None:
    with traces.process(claim(SAMPLED)) as attempt:
        attempt.failed(TaskError("ValueError", "canary", retryable=True, fingerprint="f"))
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert "canary" not in span.to_json()


async def test_an_attempt_that_raises_is_marked_and_leaves_no_span_current(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(KeyError), traces.process(claim(SAMPLED)):
        raise KeyError
    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert not trace.get_current_span().get_span_context().is_valid
    assert outgoing_headers() == {}


async def test_a_trace_that_was_not_sampled_makes_no_span_and_still_travels(
    traces: Traces, exporter: InMemorySpanExporter, http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    assert traces.send(TASK, "slow", UNSAMPLED) == UNSAMPLED
    with traces.process(claim(UNSAMPLED)):
        await http.get(httpserver.url_for("/x"))
    assert exporter.get_finished_spans() == ()
    received = httpserver.log[0][0].headers["traceparent"]
    assert received[:36] == f"00-{'a' * 32}-"
    assert received.endswith("-00")


async def test_without_a_parent_the_sampler_decides(exporter: InMemorySpanExporter) -> None:
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.0)))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(Spans(provider))
    assert str(traces.send(TASK, "slow", None)).endswith("-00")
    traces.stop()
    assert exporter.get_finished_spans() == ()


async def test_a_task_submitted_by_a_handler_joins_its_trace(traces: Traces, exporter: InMemorySpanExporter) -> None:
    with traces.process(claim(SAMPLED)):
        stored = traces.send(TASK, "default", f"00-{'c' * 32}-{'d' * 16}-01")
    assert str(stored)[3:35] == "a" * 32
    assert by_name(exporter)["send default"].parent.span_id == by_name(exporter)["process slow"].context.span_id


async def test_switched_off_the_ids_still_travel(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    traces = Traces()
    assert traces.serve("GET", SAMPLED) is None
    assert traces.send(TASK, "slow", None) is None
    assert traces.send(TASK, "slow", UNSAMPLED) == UNSAMPLED
    with traces.process(claim(UNSAMPLED)):
        assert traces.send(TASK, "slow", None) == UNSAMPLED
        await http.get(httpserver.url_for("/x"))
    assert httpserver.log[0][0].headers["traceparent"] == UNSAMPLED


@pytest.mark.parametrize("on", [True, False])
async def test_log_lines_of_an_attempt_name_its_task_and_trace(traces: Traces, on: bool) -> None:
    with (traces if on else Traces()).process(claim(SAMPLED)):
        bound = dict(logs.bound())
    assert bound["task_id"] == TASK
    assert bound["trace_id"] == "a" * 32
    assert ("span_id" in bound) is on
    assert dict(logs.bound()) == {}


def test_the_server_span_of_a_request_is_above_the_submit(traces: Traces, exporter: InMemorySpanExporter) -> None:
    request = traces.serve("POST", SAMPLED)
    assert request is not None
    sent = traces.send(TASK, "default", request.traceparent)
    request.end("POST", "/tasks", 201)
    spans = by_name(exporter)
    assert f"{spans['POST /tasks'].parent.span_id:016x}" == "b" * 16
    assert spans["send default"].parent.span_id == spans["POST /tasks"].context.span_id
    assert sent is not None
    assert sent[3:35] == "a" * 32


def test_a_request_that_is_not_sampled_makes_no_span(traces: Traces, exporter: InMemorySpanExporter) -> None:
    assert traces.serve("GET", UNSAMPLED) is None
    assert traces.send(TASK, "default", UNSAMPLED) == UNSAMPLED
    assert exporter.get_finished_spans() == ()


EXPORTING = """
import sys
from orchestrator.telemetry.traces import open_traces
traces = open_traces(sys.argv[1], 1.0, "aurea-worker")
traces.send("01997c0e-0000-7000-8000-000000000001", "default", None)
traces.stop()
"""


def test_spans_reach_a_collector_when_an_endpoint_is_set(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/traces", method="POST").respond_with_data(b"")
    subprocess.run([sys.executable, "-c", EXPORTING, httpserver.url_for("/")], check=True)
    body = httpserver.log[0][0].get_data()
    assert b"aurea-worker" in body
    assert b"send default" in body


def test_a_collector_behind_tls_is_believed_by_the_certificate_that_opentelemetry_is_told(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with HTTPServer(host="localhost", port=0, ssl_context=context) as collector:
        collector.expect_request("/v1/traces", method="POST").respond_with_data(b"")
        told = {name: value for name, value in os.environ.items() if "CA_BUNDLE" not in name}
        told["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(certificate)
        subprocess.run([sys.executable, "-c", EXPORTING, collector.url_for("/")], check=True, env=told)
        assert b"send default" in collector.log[0][0].get_data()


def test_without_an_endpoint_tracing_is_off() -> None:
    assert open_traces(None, 1.0, "aurea-worker").serve("GET", None) is None
