"""GitHub: `X-Hub-Signature-256` over the raw body, one `X-GitHub-Delivery` per event, the same when it is sent again.

There is no timestamp in the signature, so the delivery id alone keeps a recorded request from being played again.
"""

import hashlib
import hmac
import re
from urllib.parse import parse_qs

from app.strict_json import parse_json
from app.webhooks.source import Delivery, Incoming, Source
from orchestrator.domain.errors import InvalidInput, Issue, NotJson

_PRINTABLE = re.compile(rb"[\x21-\x7e]{1,100}")
_KEPT = ("x-github-hook-id", "x-github-hook-installation-target-id", "x-github-hook-installation-target-type")
_SIGNATURE = "X-Hub-Signature-256"
_FORM = b"application/x-www-form-urlencoded"


def prove(incoming: Incoming, secret: str) -> bool:
    """Compare in constant time, as bytes: a header may hold anything."""
    wanted = b"sha256=" + hmac.new(secret.encode(), incoming.body, hashlib.sha256).hexdigest().encode()
    return hmac.compare_digest(incoming.headers.get(_SIGNATURE.lower().encode(), b""), wanted)


def read(incoming: Incoming) -> Delivery:
    kept = {name: incoming.headers.get(name.encode(), b"").decode("latin-1") for name in _KEPT}
    return Delivery(
        id=_printable(incoming, "X-GitHub-Delivery"),
        event=_printable(incoming, "X-GitHub-Event"),
        headers={name: value for name, value in kept.items() if value},
        body=parse_json(_document(incoming)),
    )


def _printable(incoming: Incoming, name: str) -> str:
    value = incoming.headers.get(name.lower().encode(), b"")
    if not _PRINTABLE.fullmatch(value):
        fix = "is required: 1 to 100 printable ASCII characters"
        raise InvalidInput(f"the header {name} {fix}", [Issue(f"/headers/{name}", fix)])
    return value.decode()


def _document(incoming: Incoming) -> bytes:
    """Return the JSON text: the body itself, or what a form carries in its field `payload`."""
    if incoming.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _FORM:
        return incoming.body
    try:
        fields = parse_qs(incoming.body.decode("ascii"), strict_parsing=True, max_num_fields=10, errors="strict")
    except ValueError:
        raise NotJson("the body is not a form: choose the content type application/json for the webhook") from None
    values = fields.get("payload", [])
    if len(values) != 1:
        raise InvalidInput("the form needs one field payload", [Issue("/payload", "send it once, with the JSON")])
    return values[0].encode()


SOURCE = Source(variable="GITHUB_WEBHOOK_SECRET", signature=_SIGNATURE, most_bytes=25 * 2**20, prove=prove, read=read)
