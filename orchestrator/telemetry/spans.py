"""The spans of this system, made with OpenTelemetry; imported only when tracing is on.

Outgoing requests get their CLIENT spans from OpenTelemetry's httpx2 instrumentation, which uses the provider that
`export_to` makes the process' own. The API's SERVER spans are made here: FastAPI's own cost a request that is not
sampled as much as all the rest of it.
"""

from contextvars import Token
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from opentelemetry import context, trace
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.context.context import Context
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from orchestrator.domain.ids import TaskId
from orchestrator.domain.task import Claim
from orchestrator.telemetry.collector import PlainHTTP

HIDE_PATH = "hide_path"
"""The request extension that keeps the path of its URL out of the trace."""


def export_to(endpoint: str, sample: float, service: str) -> TracerProvider:
    """Return the provider that sends to this collector, and make it the one every library finds."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample)), resource=Resource.create({"service.name": service})
    )
    url, plain = f"{endpoint.rstrip('/')}/v1/traces", endpoint.lower().startswith("http://")
    exporter = OTLPSpanExporter(endpoint=url, _transport=PlainHTTP()) if plain else OTLPSpanExporter(endpoint=url)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


_SILENT = Context({_SUPPRESS_INSTRUMENTATION_KEY: True, _SUPPRESS_HTTP_INSTRUMENTATION_KEY: True})
"""Nothing below makes spans; the trace's id travels all the same, in the headers of `traces.outgoing_headers`."""


class Spans:
    """Makes the spans of submits and attempts, and has those of outgoing requests made."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("aurea")
        HTTPX2ClientInstrumentor().instrument(
            tracer_provider=provider, meter_provider=NoOpMeterProvider(), async_request_hook=_hide_query
        )

    def stop(self) -> None:
        HTTPX2ClientInstrumentor().uninstrument()
        self._provider.shutdown()

    def serve(self, method: str, given: str | None) -> "ServerSpan | None":
        if given is not None and given.endswith("-00"):
            return None
        above = Context() if given is None else _context_of(_span_context(given))
        span = self._tracer.start_span(method, above, SpanKind.SERVER, {"http.request.method": method})
        return ServerSpan(span) if span.is_recording() else None

    def send(self, task_id: TaskId, queue: str, parent: str | None) -> str:
        if parent is not None and parent.endswith("-00"):  # then no span is current either
            return parent
        current = trace.get_current_span().get_span_context()
        if current.is_valid:
            if not current.trace_flags.sampled:
                return _traceparent(current)
            above = None
        elif parent is None:
            above = Context()
        else:
            above = _context_of(_span_context(parent))
        span = self._tracer.start_span(f"send {queue}", above, SpanKind.PRODUCER, _attributes("send", queue, task_id))
        span.end()
        return _traceparent(span.get_span_context())

    def process(self, claim: Claim) -> "AttemptSpan":
        entry = claim.entry
        if entry.traceparent.endswith("-00"):
            return AttemptSpan(_SILENT, entry.traceparent)
        submitted = _span_context(entry.traceparent)
        span = self._tracer.start_span(
            f"process {entry.queue}",
            _context_of(submitted),
            SpanKind.CONSUMER,
            _attributes("process", entry.queue, entry.id)
            | {"aurea.task.type": entry.type, "aurea.attempt": claim.attempt},
            links=[Link(submitted, {"aurea.link": "retry"})] if claim.attempt > 1 else None,
        )
        return AttemptSpan(trace.set_span_in_context(span, Context()), _traceparent(span.get_span_context()), span)


class AttemptSpan:
    """The current span while an attempt runs; without a span, the silence of an attempt that was not sampled."""

    __slots__ = ("_before", "_span", "traceparent")

    def __init__(self, around: Context, traceparent: str, span: Span = INVALID_SPAN) -> None:
        self._span = span
        self._before: Token[Context] = context.attach(around)
        self.traceparent = traceparent

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, error_type: str | None) -> None:
        if error_type is not None:
            self.fail(error_type)
        context.detach(self._before)
        self._span.end()


class ServerSpan:
    """The current span while a request is answered."""

    __slots__ = ("_before", "_span", "traceparent")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._before: Token[Context] = context.attach(trace.set_span_in_context(span, Context()))
        self.traceparent = _traceparent(span.get_span_context())

    def end(self, method: str, route: str, status: int) -> None:
        """`route` is the template, such as `/tasks/{id}`."""
        context.detach(self._before)
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _attributes(operation: str, queue: str, task_id: TaskId) -> dict[str, str | int]:
    return {
        "messaging.system": "aurea",
        "messaging.destination.name": queue,
        "messaging.message.id": task_id,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
    }


def _span_context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _context_of(span_context: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())


def _traceparent(span: SpanContext) -> str:
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & 1:02x}"


async def _hide_query(span: Span, request: Any) -> None:
    """A query string may hold a key, a path too if the request's extension `hide_path` says so: the span's URL is
    kept without them.
    """
    attributes = getattr(span, "attributes", None) or {}
    is_secret = bool((request.extensions or {}).get(HIDE_PATH))
    for name in ("http.url", "url.full"):
        if name in attributes:
            url = urlsplit(str(attributes[name]))
            span.set_attribute(name, urlunsplit((url.scheme, url.netloc, "/" if is_secret else url.path, "", "")))
