"""What an exception of a handler means: whether and when to try again, and what users read of it.

A handler decides with Terminal and Retry. An answer of an outside service decides by its status (408, 425, 429 and 5xx
are worth a retry, and its Retry-After is obeyed; other 4xx are not). Anything else is worth a retry.
"""

from datetime import datetime
from typing import Any

import orjson

from orchestrator.domain.errors import (
    AddressRefused,
    BudgetExceeded,
    InvalidInput,
    ModelRefused,
    ModelUnavailable,
    NotConfigured,
    PriceUnknown,
    QuotaExceeded,
    SealBroken,
    StoreRefused,
    TooLarge,
)
from orchestrator.domain.events import FAILURE, EventKind, Told
from orchestrator.domain.outcome import Failed
from orchestrator.domain.retry_after import seconds_asked
from orchestrator.domain.task import Claim, TaskError
from orchestrator.domain.trim import trimmed
from orchestrator.sdk import ChildFailed, Handler, Retry, Terminal
from orchestrator.telemetry.redaction import redact
from orchestrator.worker.encoding import clean
from orchestrator.worker.fingerprint import fingerprint, place_of

LONGEST_MESSAGE = 2_000

_TERMINAL = (
    Terminal,
    ChildFailed,
    InvalidInput,
    TooLarge,
    AddressRefused,
    NotConfigured,
    BudgetExceeded,
    ModelRefused,
    PriceUnknown,
    SealBroken,
    StoreRefused,
)
_WORTH_A_RETRY = frozenset({408, 425, 429})


def judge(error: BaseException, handler: Handler, now: datetime) -> Failed:
    """Return what an attempt that ended with this exception came to."""
    error = _decisive(error)
    terminal = is_terminal(error)
    kind, message = type(error).__name__, _message(error)
    cause = fingerprint(handler.name, kind, message, place_of(error, handler.function.__module__))
    return Failed(TaskError(kind, message, not terminal, cause), None if terminal else _wait_of(error, now))


def is_terminal(error: BaseException) -> bool:
    """Whether no retry can help."""
    status = _status_of(error)
    return isinstance(error, _TERMINAL) or (status is not None and status < 500 and status not in _WORTH_A_RETRY)


def fail(task_type: str, kind: str, message: str, retry_after_seconds: float | None = None) -> Failed:
    """Return a failure that the system itself found, worth a retry."""
    message = redact(clean(message, LONGEST_MESSAGE))
    return Failed(TaskError(kind, message, True, fingerprint(task_type, kind, message, "")), retry_after_seconds)


def told_failure(claim: Claim, error: TaskError, at: datetime) -> Told:
    """Return what the history says of a failed attempt, also when a later one succeeds."""
    text = f"attempt {claim.attempt} failed: {error.type}: {error.message}"
    body = trimmed(orjson.dumps({"text": text, "fields": {"level": "error"}}))
    return Told(claim.entry.id, claim.entry.tenant, claim.fence, FAILURE, EventKind.LOG, body, at)


def _decisive(error: BaseException) -> BaseException:
    """Of a group, as a TaskGroup raises it, the exception that speaks for it: a terminal one before any other."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_decisive(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, _TERMINAL)), leaves[0])


def _message(error: BaseException) -> str:
    try:
        return redact(clean(str(error) or type(error).__name__, LONGEST_MESSAGE))
    except Exception:  # noqa: BLE001 - its author's __str__ must not decide about the attempt
        return type(error).__name__


def _status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an exception of any client library carries."""
    for holder, name in ((_peek(error, "response"), "status_code"), (error, "status_code"), (error, "status")):
        status = _peek(holder, name)
        if isinstance(status, int) and 400 <= status <= 599:
            return int(status)
    return None


def _wait_of(error: BaseException, now: datetime) -> float | None:
    if isinstance(error, Retry):
        return error.after
    if isinstance(error, ModelUnavailable | QuotaExceeded):
        return error.retry_after_seconds
    return None if _status_of(error) is None else _asked_for(error, now)


def _asked_for(error: BaseException, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for."""
    for holder in (_peek(error, "response"), error):
        headers = _peek(holder, "headers")
        if hasattr(headers, "get"):
            text = headers.get("retry-after") or headers.get("Retry-After")
            if text:
                return seconds_asked(str(text).strip(), now)
    return None


def _peek(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a property of a foreign exception
        return None
