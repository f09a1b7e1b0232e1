"""The query string as it came: whole characters in UTF-8, none of them a control character.

Parsers of query strings put U+FFFD for what they cannot read, so a filter would look for something else than was sent.
"""

import re
from urllib.parse import unquote_to_bytes

from app.issues import query_refusal
from app.strict_json import pointer_to
from orchestrator.domain.errors import Issue

_PLAIN = re.compile(rb"[!-$&-~]*")
"""Without an escape there is nothing to look for."""
_CONTROL = re.compile("[\x00-\x1f\x7f]")


def check_query(query: bytes) -> None:
    """Raise InvalidInput that names each parameter with a text that cannot be read or kept."""
    if _PLAIN.fullmatch(query):
        return
    issues = [issue for pair in query.split(b"&") for issue in _issues(*pair.partition(b"=")[::2])]
    if issues:
        raise query_refusal(issues)


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
