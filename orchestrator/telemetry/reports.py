"""Error reports: what nobody foresaw goes to Sentry, when a DSN is set.

Errors only: traces are OpenTelemetry's, and no breadcrumb, request body, cookie, header or local variable is sent.
Each report carries the fields bound to the log (task_id, trace_id) as tags.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator.telemetry import logs
from orchestrator.telemetry.redaction import tellable

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


class Reports:
    """Where errors are reported; `Reports()` reports nowhere."""

    def __init__(self, sentry: ModuleType | None = None) -> None:
        self._sentry = sentry

    def send(self, error: BaseException, **tags: str) -> None:
        """Hand over one error, with tags besides the bound ones. Sent from a thread; never raises, never waits."""
        if self._sentry is not None:
            self._sentry.capture_exception(error, tags=tags)

    def stop(self) -> None:
        """Send what waits; blocks for two seconds at most."""
        if self._sentry is not None:
            self._sentry.get_client().close(timeout=2.0)


def open_reports(dsn: str | None, environment: str, release: str) -> Reports:
    """Start reporting, also of what ends a process or a thread. Raises ValueError for a DSN that is none."""
    if dsn is None:
        return Reports()
    import sentry_sdk
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.threading import ThreadingIntegration
    from sentry_sdk.utils import BadDsn

    try:
        sentry_sdk.init(
            dsn=dsn,
            environment=environment,
            release=release,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[DedupeIntegration(), ExcepthookIntegration(), ThreadingIntegration()],
            max_breadcrumbs=0,
            max_request_body_size="never",
            include_local_variables=False,
            before_send=_prepare,
        )
    except BadDsn as error:
        raise ValueError(f"SENTRY_DSN: {error}") from error
    return Reports(sentry_sdk)


def _prepare(event: "Event", _: "Hint") -> "Event | None":
    for part in ("request", "user", "breadcrumbs", "extra", "modules"):
        event.pop(part, None)  # type: ignore[misc]
    values: Any = event.get("exception", {}).get("values", [])
    for value in values:
        value["value"] = tellable(value.get("value") or "")
    event["tags"] = tellable({**logs.bound(), **dict(event.get("tags") or {})})
    return event
