"""What the exceptions of OpenAI's SDK mean, whichever of its two APIs was used."""

from datetime import datetime

import openai

from orchestrator.models import faults

_STATUSES = {"rate_limit_exceeded": 429, "insufficient_quota": 429, "context_length_exceeded": 400}
"""For an error inside a stream, whose own status is 200."""


def understand(error: Exception, *, begun: bool, now: datetime, key: str) -> faults.Fault:
    """Return the fault behind an exception."""
    if isinstance(error, openai.APIStatusError):
        wait = faults.asked_to_wait(error.response.headers, now)
        return faults.of_status(error.status_code, _said(error), wait, secret=key)
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        return faults.of_status(_STATUSES.get(error.code or "", 500), _said(error), secret=key)
    return faults.of_transport(error, begun=begun)


def _said(error: openai.APIError) -> str:
    """The code tells more than the words, where there is one."""
    body = error.body if isinstance(error.body, dict) else {}
    words = body.get("message") or error.message
    return f"{error.code}: {words}" if error.code else str(words)
