"""Calls to the outside, and what their answers mean: go on, refused for good, or away for now.

Nothing that leaves here tells a secret: every text is redacted first. Redirects are not followed, so a secret
goes to no other host than it was meant for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import orjson

from orchestrator.sdk import Context, Redaction, Retry, Terminal, retry_after_seconds, sent_at

TIMEOUT_SECONDS = 30.0
UNCERTAIN_SECONDS = 15.0
"""After a call that may have begun something: until then it can be seen whether it did."""
LONGEST_WAIT_SECONDS = 3_600.0
EXCERPT_CHARACTERS = 300

_WORTH_A_RETRY = frozenset({408, 425, 429, *range(500, 600)})
_SAID_IN = ("message", "error", "detail", "title")
_EPOCH = 1e9
"""Above it a RateLimit-Reset is a moment, below it a wait: both are seen."""


class Refused(Terminal):
    """The other side said no; no retry can help."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Away(Retry):
    """The other side did not answer, or asked to come back later."""


class Outside:
    """One provider's HTTP calls."""

    def __init__(self, ctx: Context, title: str, secrets: Sequence[str], advice: Mapping[int, str]) -> None:
        """`advice` says for a status what to do about it."""
        self._ctx = ctx
        self._title = title
        self._advice = advice
        self._redaction = Redaction(secrets)

    async def call(self, method: str, url: str, **options: Any) -> httpx2.Response:
        """Return the answer when it is a 2xx. Raises Refused or Away; `options` are those of httpx2's `request`."""
        try:
            answer = await self._ctx.http.request(method, url, timeout=TIMEOUT_SECONDS, **options)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise Refused(self._redaction.text(f"{self._title} cannot be asked like this: {error}"), 0) from None
        except httpx2.RequestError as error:
            after = None if method == "GET" else UNCERTAIN_SECONDS
            reason = self._redaction.text(f"{type(error).__name__} {error}".strip())
            raise Away(f"{self._title} does not answer: {reason}", after=after) from None
        if answer.is_success:
            return answer
        text = self._refusal(answer)
        if answer.status_code not in _WORTH_A_RETRY:
            raise Refused(text, answer.status_code)
        after = _asked_for(answer.headers)
        if after is None and method != "GET" and answer.status_code >= 500:
            after = UNCERTAIN_SECONDS
        raise Away(text, after=after)

    def _refusal(self, answer: httpx2.Response) -> str:
        status = answer.status_code
        said = " ".join(self._redaction.text(_said(answer)).split())[:EXCERPT_CHARACTERS]
        if answer.is_redirect:
            said = "a redirect, which is not followed"
        parts = [f"{self._title} answered {status} {answer.reason_phrase}".strip(), said, self._advice.get(status, "")]
        return ": ".join(part for part in parts if part)


def read_json(answer: httpx2.Response) -> Any:
    """Return the answer's JSON; None when it is empty or none."""
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return None


def _said(answer: httpx2.Response) -> str:
    body = read_json(answer)
    if isinstance(body, dict):
        return next((body[name] for name in _SAID_IN if isinstance(body.get(name), str)), "")
    kind = answer.headers.get("content-type", "")
    return "" if "html" in kind else answer.content[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")


def _asked_for(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that an answer asks for."""
    seconds = retry_after_seconds(headers)
    if seconds is None:
        seconds = _until_reset(headers)
    return None if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)


def _until_reset(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("ratelimit-reset", ""))
    except ValueError:
        return None
    if seconds > _EPOCH:
        sent = sent_at(headers)
        if sent is None:
            return None
        seconds -= sent.timestamp()
    return seconds if 0 <= seconds < float("inf") else None
