"""Traces: one from the HTTP request, through the queue, to what the handler calls.

The link between processes is the task's `traceparent` (W3C), stored when it is submitted. Submitting makes a span
`send <queue>` (PRODUCER), each attempt a span `process <queue>` (CONSUMER) below it, named and labelled by
OpenTelemetry's messaging conventions. A context that was not sampled costs no span, only its id is handed on.

Without an endpoint nothing of OpenTelemetry is imported; ids still travel and still stand in every log line.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from orchestrator.domain.ids import TaskId
from orchestrator.domain.task import Claim, TaskError
from orchestrator.telemetry import logs

if TYPE_CHECKING:
    from orchestrator.telemetry.spans import AttemptSpan, ServerSpan, Spans

_current: ContextVar[str | None] = ContextVar("aurea_traceparent", default=None)


class Traces:
    """The tracing of one process; `Traces()` is tracing switched off."""

    def __init__(self, spans: "Spans | None" = None) -> None:
        self._spans = spans

    def serve(self, method: str, given: str | None) -> "ServerSpan | None":
        """The span of an HTTP request, below the caller's `given` traceparent; None when it is not sampled.

        Enter it around the request. Nothing but a decision is made for a request that is not sampled.
        """
        return None if self._spans is None else self._spans.serve(method, given)

    def send(self, task_id: TaskId, queue: str, parent: str | None) -> str | None:
        """Record that a task is submitted, and return the traceparent to store with it.

        The current span is its parent; without one, `parent` is. None when there is neither and tracing is off.
        """
        return parent or _current.get() if self._spans is None else self._spans.send(task_id, queue, parent)

    def process(self, claim: Claim) -> "Processing":
        """One attempt, as a context manager to enter in the asyncio task that runs it."""
        return Processing(self._spans, claim)

    def stop(self) -> None:
        """Send what is recorded; blocks for as long as the collector takes, ten seconds at most."""
        if self._spans is not None:
            self._spans.stop()


class Processing:
    """An attempt that runs: names its task and trace to log lines, outgoing requests and error reports."""

    __slots__ = ("_claim", "_fields", "_here", "_span", "_spans")

    def __init__(self, spans: "Spans | None", claim: Claim) -> None:
        self._spans = spans
        self._claim = claim
        self._span: AttemptSpan | None = None

    def __enter__(self) -> "Processing":
        traceparent = self._claim.entry.traceparent
        fields = {"task_id": self._claim.entry.id, "trace_id": traceparent[3:35]}
        if self._spans is not None:
            self._span = self._spans.process(self._claim)
            traceparent = self._span.traceparent
            fields["span_id"] = traceparent[36:52]
        self._here = _current.set(traceparent)
        self._fields: Any = logs.bind(**fields)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        logs.unbind(self._fields)
        _current.reset(self._here)
        if self._span is not None:
            self._span.end(kind.__qualname__ if kind is not None else None)

    def failed(self, error: TaskError) -> None:
        """Mark the attempt's span as failed; the message stays out of it, since it may quote the payload."""
        if self._span is not None:
            self._span.fail(error.type)


def outgoing_headers() -> dict[str, str]:
    """The headers that carry the trace of the running attempt to another service."""
    here = _current.get()
    return {} if here is None else {"traceparent": here}


def open_traces(endpoint: str | None, sample: float, service: str) -> Traces:
    """Start tracing to an OTLP collector (its base URL), a share `sample` of the traces that begin here.

    `service` is the process' part, such as `aurea-worker`. Without an endpoint tracing is off. A collector that is
    away costs spans, never tasks.
    """
    if endpoint is None:
        return Traces()
    with _spare_httpx():
        from orchestrator.telemetry.spans import Spans, export_to

    return Traces(Spans(export_to(endpoint, sample, service)))


@contextmanager
def _spare_httpx() -> Iterator[None]:
    """Load OpenTelemetry's instrumentation as if httpx were not there, which it covers beside httpx2.

    Nobody here traces httpx; it takes 1 MB of every process, and rich, which it loads, 4 more.
    """
    if "httpx" in sys.modules:
        yield
        return
    sys.modules["httpx"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["httpx"]
