"""What OpenAI's errors mean, whichever of its two APIs was used: the SDK's exceptions, and answers that failed."""

from datetime import datetime

import openai

from orchestrator.models import faults

_LIMITS = {"rate_limit_exceeded": 429, "insufficient_quota": 429}
_STATUS_OF_STREAM_ERROR = {**_LIMITS, "context_length_exceeded": 400}
"""By the code of an error inside a stream, whose own status is 200. What is not here is the server's fault."""
_STATUS_OF_FAILED_RESPONSE = {**_LIMITS, "server_error": 500, "vector_store_timeout": 500}
"""By the code of an answer that failed after it began. What is not here is a policy, or a bad request."""


def understand(error: Exception, *, begun: bool, now: datetime, key: str) -> faults.Fault:
    """Return the fault behind an exception."""
    if isinstance(error, openai.APIStatusError):
        wait = faults.asked_to_wait(error.response.headers, now)
        return faults.of_status(error.status_code, _said(error), wait, secret=key)
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        return faults.of_status(_STATUS_OF_STREAM_ERROR.get(error.code or "", 500), _said(error), secret=key)
    return faults.of_transport(error, begun=begun)


def of_failed_response(code: str | None, message: str, *, key: str) -> faults.Fault:
    """Return the fault behind an answer of the Responses API that failed; without a code it is the server's."""
    status = _STATUS_OF_FAILED_RESPONSE.get(code, 400) if code else 500
    return faults.of_status(status, f"{code}: {message}" if code else message, secret=key)


def _said(error: openai.APIError) -> str:
    """The code tells more than the words, where there is one."""
    body = error.body if isinstance(error.body, dict) else {}
    words = body.get("message") or error.message
    return f"{error.code}: {words}" if error.code else str(words)
