"""Why a try at a model came to nothing, in words that are the same for every provider.

This is the one place where the answers of providers are understood. A fault is of one try; what a call comes to, when
all its tries have failed, `verdict` says.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import httpx2

from orchestrator.domain.retry_after import seconds_asked
from orchestrator.telemetry.redaction import HIDDEN

_LONGEST = 300
"""Characters kept of what a provider says."""
_CONTEXT = re.compile(
    r"(prompt|input|request) is too long|too large|context[ _](length|window|limit|size)|token count .{0,40}exceed"
    r"|exceeds? the maximum number of tokens",
    re.IGNORECASE,
)
_CONTENT = re.compile(r"content[ _](filter|policy|management)|usage polic|invalid_prompt|_policy\b", re.IGNORECASE)
_KEY = re.compile(r"API[ _]KEY[ _](not valid|INVALID|expired)", re.IGNORECASE)
_CREDIT = re.compile(r"credit balance|billing", re.IGNORECASE)


class Kind(StrEnum):
    """The first seven are for good, the others pass."""

    KEY = "key"
    PERMISSION = "permission"
    MODEL = "model"
    REQUEST = "request"
    CONTEXT = "context"
    CONTENT = "content"
    LENGTH = "length"
    LIMITED = "limited"
    AWAY = "away"
    SILENT = "silent"
    """Nothing came within a time in which something should have come."""
    SLOW = "slow"
    """The time of the try was over before the answer was."""
    BROKEN = "broken"
    RESTING = "resting"
    """It was not asked at all: its provider said when to come back, or it fails again and again."""
    MALFORMED = "malformed"

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later."""
        return self in _PASSING


_PASSING = frozenset({Kind.LIMITED, Kind.AWAY, Kind.SILENT, Kind.SLOW, Kind.BROKEN, Kind.RESTING, Kind.MALFORMED})


class Fault(Exception):
    """One try at one model came to nothing. Never leaves `orchestrator.operations.generate`."""

    def __init__(self, kind: Kind, said: str, retry_after_seconds: float | None = None) -> None:
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds
        super().__init__(said)


def of_status(status: int, said: str, retry_after_seconds: float | None = None, *, secret: str = "") -> Fault:
    """Return what an HTTP status with this explanation means; `secret` is blotted out should it be repeated."""
    kind = _kind(status, said)
    asked = retry_after_seconds if kind in (Kind.LIMITED, Kind.AWAY) else None
    return Fault(kind, f"{status}: {brief(said, secret)}", asked)


def of_transport(error: Exception, *, begun: bool) -> Fault:
    """Return what a connection that failed, or a stream that cannot be read, means."""
    own = error if isinstance(error, httpx2.TransportError) else error.__cause__ or error
    if isinstance(own, httpx2.ReadTimeout | httpx2.WriteTimeout):
        return Fault(Kind.SLOW, f"no answer in time ({type(own).__name__})")
    if begun:
        return Fault(Kind.BROKEN, f"the stream broke ({type(own).__name__})")
    return Fault(Kind.AWAY, f"it cannot be reached ({type(own).__name__})")


def cut_short() -> Fault:
    """A stream that ended in order, but before the answer did."""
    return Fault(Kind.BROKEN, "the stream ended before the answer did")


def unknown_stop(word: str) -> Fault:
    """An answer that ended for a reason which is not known here."""
    return Fault(Kind.BROKEN, f"it stopped for {brief(word)}")


def bad_arguments(tool: str) -> Fault:
    return Fault(Kind.MALFORMED, f"the arguments for the tool {tool[:100]!r} are not a JSON object")


def asked_to_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that an answer's headers ask to wait."""
    if "retry-after-ms" in headers:
        milliseconds = seconds_asked(headers["retry-after-ms"], now)
        if milliseconds is not None:
            return milliseconds / 1000
    return seconds_asked(headers["retry-after"], now) if "retry-after" in headers else None


def brief(said: str, secret: str = "") -> str:
    """Return what a provider said on one line, without the key."""
    text = " ".join((said.replace(secret, HIDDEN) if secret else said).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _kind(status: int, said: str) -> Kind:
    match status:
        case 401:
            return Kind.KEY
        case 402 | 403:
            return Kind.PERMISSION
        case 404:
            return Kind.MODEL
        case 413:
            return Kind.CONTEXT
        case 429:
            return Kind.LIMITED
        case 408 | 409 | 425:
            return Kind.AWAY
    return Kind.AWAY if status >= 500 else _kind_of_refusal(said)


def _kind_of_refusal(said: str) -> Kind:
    """Return what a 400 is about, which only its words tell."""
    words = ((_KEY, Kind.KEY), (_CREDIT, Kind.PERMISSION), (_CONTEXT, Kind.CONTEXT), (_CONTENT, Kind.CONTENT))
    return next((kind for pattern, kind in words if pattern.search(said)), Kind.REQUEST)
