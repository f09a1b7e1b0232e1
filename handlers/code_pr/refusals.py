"""What GitHub's answers mean for a task: when to try again, and what to tell whoever has to mend something.

A limit is recognised as GitHub's documentation says: `retry-after`, else `x-ratelimit-remaining: 0`, else the words of
the message. Waits are counted on GitHub's own clock, the `Date` of the answer, so that a worker's clock cannot spoil
them.
"""

import re
from typing import TYPE_CHECKING, Any

import orjson

from orchestrator.sdk import Retry, Terminal, retry_after_seconds, sent_at

if TYPE_CHECKING:
    import httpx2

SHORTEST_WAIT_SECONDS = 60.0
"""What GitHub asks for at least when a secondary limit names no time; it doubles with each attempt."""
LONGEST_WAIT_SECONDS = 3_600.0
MOST_WORDS = 500
"""Characters kept of what GitHub said."""

_LIMITED = re.compile(r"\brate limit|abuse detection|retry your request again later", re.IGNORECASE)
_WORTH_A_RETRY = frozenset({408, 409, 425, *range(500, 600)})


class GitHubRefused(Terminal):
    """GitHub said no, and would say it again."""

    def __init__(self, reason: str, status_code: int, said: str) -> None:
        super().__init__(reason)
        self.status_code = status_code
        self.said = said


def refuse(answer: "httpx2.Response", doing: str, attempt: int) -> Exception:
    """Return what to raise for an answer that is no success; `doing` says what was tried: "read the repository"."""
    said = _said(answer)
    wait = _limit(answer, said, attempt)
    if wait is not None:
        return Retry(f"GitHub limits how often it may be asked; could not {doing}: {said}", after=wait)
    reason = f"could not {doing}: GitHub answered {answer.status_code}: {said}"
    if answer.status_code in _WORTH_A_RETRY and not said.startswith("Git Repository is empty"):
        return Retry(reason, after=retry_after_seconds(answer.headers))
    advice = _advice(answer, said)
    return GitHubRefused(f"{reason}. {advice}" if advice else reason, answer.status_code, said)


def server_time(answer: "httpx2.Response") -> float:
    """Return when GitHub sent it, in seconds of the epoch. Raises Retry when it does not say."""
    sent = sent_at(answer.headers)
    if sent is None:
        raise Retry("GitHub's answer has no Date")
    return sent.timestamp()


def _limit(answer: "httpx2.Response", said: str, attempt: int) -> float | None:
    """Return the seconds to wait when a limit is the reason."""
    if answer.status_code not in (403, 429):
        return None
    asked = retry_after_seconds(answer.headers)
    if asked is not None:
        return asked
    if answer.headers.get("x-ratelimit-remaining") == "0":
        reset = str(answer.headers.get("x-ratelimit-reset", ""))
        if re.fullmatch(r"\d{1,12}", reset):
            return max(0.0, float(reset) - server_time(answer)) + 1  # it is not said when in that second
    if answer.status_code == 429 or _LIMITED.search(said):
        return min(LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS * 2.0 ** min(attempt - 1, 10))
    return None


def _said(answer: "httpx2.Response") -> str:
    """Return GitHub's message and the errors beneath it, in one line."""
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return answer.reason_phrase or "nothing that could be read"
    errors = body.get("errors")
    found = [str(body.get("message") or answer.reason_phrase)]
    found += [_worded(each) for each in errors] if isinstance(errors, list) else []
    return " ".join("; ".join(found).split())[:MOST_WORDS]


def _worded(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    named = (str(error[key]) for key in ("resource", "field", "code") if key in error)
    return str(error.get("message") or " ".join(named))


def _advice(answer: "httpx2.Response", said: str) -> str:
    if answer.status_code == 401:
        return "The token is wrong or has expired: set GITHUB_TOKEN, or the three of the GitHub App, anew"
    if answer.status_code in (403, 404) and "x-github-sso" in answer.headers:
        return "The organization wants the token to be authorized for its single sign-on"
    if "archived" in said:
        return "The repository is archived: unarchive it first"
    if "rule violations" in said or said.startswith("Reference update failed"):
        return "The repository's rules do not let this token make the branch: allow it branches under aurea/"
    if answer.status_code == 403 or (answer.status_code == 404 and answer.request.method != "GET"):
        # GitHub hides what a token may not change behind a 404, too.
        needed = answer.headers.get("x-accepted-github-permissions", "contents=write,pull_requests=write")
        return f"The token may not do this: it needs {needed} on the repository"
    if answer.status_code == 404:
        return "It does not exist, or the token may not see it"
    if answer.is_redirect:
        return "The repository has moved: use its present name"
    return ""
