"""Error reports, sent to a server of the test's own."""

import gzip
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer

from orchestrator.telemetry import logs
from orchestrator.telemetry.reports import Reports, open_reports


@pytest.fixture
def reports(httpserver: HTTPServer) -> Iterator[Reports]:
    httpserver.expect_request("/api/1/envelope/", method="POST").respond_with_json({})
    opened = open_reports(f"http://public@{httpserver.host}:{httpserver.port}/1", "test", "0.0.0")
    yield opened
    opened.stop()


def received(httpserver: HTTPServer) -> list[dict[str, Any]]:
    events = []
    for request, _ in httpserver.log:
        body = request.get_data()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        events += [orjson.loads(line) for line in body.splitlines() if b'"exception"' in line]
    return events


def fail(secret: str) -> None:
    raise ValueError(f"no answer from postgres://u:{secret}@h/db")


def test_an_error_arrives_with_its_task_and_without_secrets(reports: Reports, httpserver: HTTPServer) -> None:
    bound = logs.bind(task_id="the-task", trace_id="the-trace")
    try:
        fail("canary")
    except ValueError as error:
        reports.send(error, task_type="noop")
    logs.unbind(bound)
    reports.stop()
    (event,) = received(httpserver)
    assert {"task_id": "the-task", "trace_id": "the-trace", "task_type": "noop"}.items() <= event["tags"].items()
    assert event["exception"]["values"][0]["value"] == "no answer from postgres://u:[redacted]@h/db"
    assert b"canary" not in orjson.dumps(event).replace(b'fail(\\"canary\\")', b"")
    assert "request" not in event
    assert "breadcrumbs" not in event


def test_local_variables_are_not_sent(reports: Reports, httpserver: HTTPServer) -> None:
    try:
        fail("x")
    except ValueError as error:
        reports.send(error)
    reports.stop()
    frames = received(httpserver)[0]["exception"]["values"][0]["stacktrace"]["frames"]
    assert frames
    assert all("vars" not in frame for frame in frames)


def test_without_a_dsn_nothing_is_sent_and_nothing_fails() -> None:
    reports = open_reports(None, "test", "0.0.0")
    reports.send(ValueError("x"))
    reports.stop()


def test_a_dsn_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="SENTRY_DSN"):
        open_reports("not a dsn", "test", "0.0.0")
