"""The Idempotency-Key header: plain, or quoted as the draft standard's structured string."""

import re
from typing import Any

from starlette.requests import Request

from orchestrator.domain.errors import InvalidInput, Issue

_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\])*"')
_PLAIN = re.compile(r"[!#-~][ -~]*")
_ESCAPED = re.compile(r'\\(["\\])')


def with_header_key(request: Request, body: Any) -> Any:
    """Return the body with the header's key in its field. Raises InvalidInput when both are there and differ."""
    header = header_key(request)
    if header is None or not isinstance(body, dict):
        return body
    field = body.get("idempotency_key")
    if field is not None and field != header:
        fix = "differs from the header Idempotency-Key: send one of them"
        raise InvalidInput(f"/idempotency_key {fix}", [Issue("/idempotency_key", fix)])
    return {**body, "idempotency_key": header}


def header_key(request: Request) -> str | None:
    """Return the key in the header, None without one. Raises InvalidInput for one that is no key."""
    raw = dict(request.scope["headers"]).get(b"idempotency-key")
    if raw is None:
        return None
    text: str = raw.decode("latin-1").strip()
    if _QUOTED.fullmatch(text):
        text = _ESCAPED.sub(r"\1", text[1:-1])
    elif not _PLAIN.fullmatch(text):
        text = ""
    if not 1 <= len(text) <= 255:
        fix = "must have 1 to 255 printable ASCII characters, plain or in double quotes"
        raise InvalidInput(f"the header Idempotency-Key {fix}", [Issue("/idempotency_key", fix)])
    return text
