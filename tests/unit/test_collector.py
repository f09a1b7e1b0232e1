"""The way of spans to a collector without TLS, and what the exporter is told of it."""

import socket
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from orchestrator.telemetry.collector import PlainHTTP
from orchestrator.telemetry.spans import Spans


@pytest.fixture
def way() -> Iterator[PlainHTTP]:
    opened = PlainHTTP()
    yield opened
    opened.close()


def test_what_is_exported_arrives_and_leaves_no_span_of_its_own(way: PlainHTTP, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/traces", method="POST").respond_with_data(b"")
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=httpserver.url_for("/v1/traces"), _transport=way))
    )
    spans = Spans(provider)
    for _ in range(2):
        spans.send("01997c0e-0000-7000-8000-000000000001", "slow", None)  # type: ignore[arg-type]
        provider.force_flush()
    spans.stop()
    names = []
    for request, _ in httpserver.log:
        assert request.headers["Content-Type"] == "application/x-protobuf"
        told = ExportTraceServiceRequest.FromString(request.get_data())
        names += [span.name for part in told.resource_spans for scope in part.scope_spans for span in scope.spans]
    assert names == ["send slow", "send slow"]


def test_a_collector_that_is_busy_says_when_to_come_again(way: PlainHTTP, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(b"later", status=503, headers={"Retry-After": "7"})
    answer = way.request("POST", httpserver.url_for("/"), data=b"x", timeout=5)
    assert (answer.status_code, answer.reason, answer.error) == (503, "SERVICE UNAVAILABLE", None)
    assert (answer.headers()["retry-after"], answer.content()) == ("7", b"later")


def test_a_collector_that_is_not_there_is_an_error_worth_a_second_try(way: PlainHTTP) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        answer = way.request("POST", f"http://127.0.0.1:{nobody.getsockname()[1]}/", data=b"x", timeout=5)
    assert way.is_connection_error(answer.error)
    assert (answer.status_code, answer.headers(), answer.content()) == (None, {}, b"")
    assert not way.is_connection_error(ValueError())


def test_spans_are_not_sent_where_a_redirect_leads(way: PlainHTTP, httpserver: HTTPServer) -> None:
    def away(_: Request) -> Response:
        return Response(status=307, headers={"Location": httpserver.url_for("/elsewhere")})

    httpserver.expect_request("/").respond_with_handler(away)
    assert way.request("POST", httpserver.url_for("/"), data=b"x", timeout=5).status_code == 307
    assert len(httpserver.log) == 1
