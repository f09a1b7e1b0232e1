"""Refusals as people and programs read them: `application/problem+json` (RFC 9457).

One row per class of the error tree. `type` is a stable URN made of the error's code; `trace_id` finds the request
in logs and traces. What we did not foresee answers 500 and says nothing of the inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from orchestrator.domain import errors
from orchestrator.domain.errors import AureaError

MEDIA_TYPE = "application/problem+json"
_BODY_GOES_UNREAD = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class Row:
    """How a class of errors answers."""

    status: int
    title: str


ROWS: dict[type[AureaError], Row] = {
    AureaError: Row(500, "Internal error"),
    errors.InvalidInput: Row(422, "Invalid input"),
    errors.NotJson: Row(400, "Not JSON"),
    errors.InvalidId: Row(422, "Invalid id"),
    errors.InvalidCursor: Row(422, "Invalid cursor"),
    errors.UnknownType: Row(422, "Unknown task type"),
    errors.KeyConflict: Row(422, "Idempotency key used before"),
    errors.TooLarge: Row(413, "Too large"),
    errors.NotFound: Row(404, "Not found"),
    errors.ArtifactMissing: Row(404, "Artifact missing"),
    errors.Conflict: Row(409, "Conflict"),
    errors.QueueFull: Row(429, "Queue full"),
    errors.QuotaExceeded: Row(429, "Quota exceeded"),
    errors.RateLimited: Row(429, "Rate limited"),
    errors.BudgetExceeded: Row(429, "Budget exceeded"),
    errors.BudgetUsed: Row(500, "Budget used"),
    errors.ModelRefused: Row(422, "Model refused"),
    errors.ModelMalformed: Row(502, "Model malformed"),
    errors.ModelUnavailable: Row(503, "Model unavailable"),
    errors.PriceUnknown: Row(503, "Price unknown"),
    errors.Unauthorized: Row(401, "Unauthorized"),
    errors.Forbidden: Row(403, "Forbidden"),
    errors.SignatureRefused: Row(401, "Signature refused"),
    errors.SignatureForbidden: Row(403, "Signature refused"),
    errors.AddressRefused: Row(422, "Address refused"),
    errors.NotConfigured: Row(503, "Not configured"),
    errors.RedisEvicts: Row(503, "Redis evicts"),
    errors.SealBroken: Row(503, "Seal broken"),
    errors.SealKeyMissing: Row(503, "Seal key missing"),
    errors.StoreRefused: Row(503, "Store refused"),
    errors.Unavailable: Row(503, "Unavailable"),
    errors.HandlerBroken: Row(500, "Handler broken"),
    errors.NotStarted: Row(500, "Not started"),
    errors.DeadLetter: Row(500, "Dead letter"),
    errors.LeaseLost: Row(409, "Lease lost"),
    errors.AttemptEnded: Row(409, "Attempt ended"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: its document, and the headers that go with it."""

    status: int
    document: dict[str, Any]
    headers: dict[str, str]

    def response(self, trace_id: str) -> Response:
        content = orjson.dumps({**self.document, "trace_id": trace_id})
        return Response(content, self.status, self.headers, MEDIA_TYPE)


def problem_of(error: AureaError) -> Problem:
    """Return how an error of ours answers; a class without a row answers as its parent."""
    row = next(ROWS[kind] for kind in type(error).__mro__ if kind in ROWS)
    document: dict[str, Any] = _document(row.status, error.code, row.title, str(error))
    if row.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        document["detail"] = "something went wrong on our side: give the trace_id to whoever runs this system"
    if isinstance(error, errors.InvalidInput):
        document["errors"] = [{"pointer": issue.pointer, "detail": issue.detail} for issue in error.issues]
    document.update(_particulars(error))
    return Problem(row.status, document, _headers(error))


def http_problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Return a refusal that no error of the tree stands for: an unknown path, a wrong method."""
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_").replace("'", "")
    return Problem(status, _document(status, code, phrase, detail), dict(headers or {}))


def _document(status: int, code: str, title: str, detail: str) -> dict[str, Any]:
    return {"type": f"urn:aurea:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}


def _particulars(error: AureaError) -> dict[str, Any]:
    """What a program needs to act on this error, besides its code; in a batch there are no headers to read."""
    match error:
        case errors.UnknownType():
            return {"known_types": list(error.known)}
        case errors.KeyConflict():
            return {"task_id": error.task_id}
        case errors.TooLarge():
            return {"limit_bytes": error.limit_bytes}
        case errors.Forbidden(scope=str(scope)):
            return {"scope": scope}
        case errors.NotConfigured():
            return {"variable": error.variable}
        case errors.SealKeyMissing():
            return {"variable": "AUREA_ENCRYPTION_KEYS", "key_id": error.key_id}
        case errors.Unavailable():
            return {
                "detail": f"{error}: try again in {error.retry_after_seconds} s. Whether it acted is not known; "
                "with an Idempotency-Key nothing is done twice",
                "dependency": error.dependency,
                "retry_after_seconds": error.retry_after_seconds,
            }
        case errors.QuotaExceeded() | errors.RateLimited() | errors.QueueFull():
            return {**_limit(error), "retry_after_seconds": error.retry_after_seconds}
    return {}


def _limit(error: AureaError) -> dict[str, Any]:
    match error:
        case errors.QuotaExceeded():
            return {"limit": error.limit, "most": error.most, "task_type": error.type_name}
        case errors.RateLimited():
            return {"limit": "requests_per_minute", "most": error.per_minute, "whose": error.whose}
    return {}


def _headers(error: AureaError) -> dict[str, str]:
    match error:
        case errors.Unauthorized():
            return {"WWW-Authenticate": 'Bearer realm="aurea"'}
        case errors.QueueFull() | errors.QuotaExceeded() | errors.RateLimited() | errors.Unavailable():
            return {"Retry-After": str(error.retry_after_seconds)}
        case errors.TooLarge():
            return dict(_BODY_GOES_UNREAD)
    return {}
