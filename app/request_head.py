"""A request's head, where readers could differ in what it says: it is refused instead of being guessed at.

A query string holds whole characters in UTF-8, none of them a control character: parsers put U+FFFD for what they
cannot read, so a filter would look for something else than was sent. A header that decides something stands there
once: a proxy may go by the first of two, and we by the last.
"""

import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from app.issues import query_refusal
from app.strict_json import pointer_to
from orchestrator.domain.errors import InvalidInput, Issue

_PLAIN = re.compile(rb"[!-$&-~]*")
"""Without an escape there is nothing to look for."""
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_ALONE = re.compile(
    rb"authorization|aurea-tenant|content-(encoding|length|type)|host|idempotency-key|last-event-id|.*signature.*"
)
"""The headers that may not stand twice."""


def check_query(query: bytes) -> None:
    """Raise InvalidInput that names each parameter with a text that cannot be read or kept."""
    if _PLAIN.fullmatch(query):
        return
    issues = [issue for pair in query.split(b"&") for issue in _issues(*pair.partition(b"=")[::2])]
    if issues:
        raise query_refusal(issues)


def check_headers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise InvalidInput when one that decides something stands more than once."""
    if len({name for name, _ in headers}) == len(headers):
        return
    for name, times in Counter(name for name, _ in headers).items():
        if times > 1 and _ALONE.fullmatch(name):
            fix = f"stands {times} times: send it once"
            place = name.decode("ascii", "replace").title()
            raise InvalidInput(f"the header {place} {fix}", [Issue(f"/headers/{place}", fix)])


def _issues(name: bytes, value: bytes) -> list[Issue]:
    place = pointer_to(unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "backslashreplace"))
    for part in (name, value):
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            return [Issue(place, "is not UTF-8: escape each byte of its characters, as in %C3%A9")]
        if found := _CONTROL.search(text):
            return [Issue(place, f"holds the control character U+{ord(found[0]):04X}: remove it")]
    return []
