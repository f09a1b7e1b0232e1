"""GitHub: `X-Hub-Signature-256` over the raw body, one `X-GitHub-Delivery` per event, the same when it is sent again.

There is no timestamp in the signature, so the delivery id alone keeps a recorded request from being played again.
"""

from collections.abc import Sequence

from app.strict_json import parse_json
from app.webhooks.proof import hex_digest, matching
from app.webhooks.reading import form_of, required
from app.webhooks.source import Delivery, Incoming, Scheme
from orchestrator.domain.errors import InvalidInput, Issue

_KEPT = ("x-github-hook-id", "x-github-hook-installation-target-id", "x-github-hook-installation-target-type")
_SIGNATURE = "X-Hub-Signature-256"


def prove(incoming: Incoming, secrets: Sequence[str]) -> int | None:
    sent = [incoming.header(_SIGNATURE)]
    return matching(secrets, lambda secret: b"sha256=" + hex_digest("sha256", secret, incoming.body), sent)


def read(incoming: Incoming) -> Delivery:
    kept = {name: incoming.header(name).decode("latin-1") for name in _KEPT}
    return Delivery(
        id=required(incoming, "X-GitHub-Delivery"),
        event=required(incoming, "X-GitHub-Event"),
        headers={name: value for name, value in kept.items() if value},
        body=parse_json(_document(incoming)),
    )


def _document(incoming: Incoming) -> bytes:
    """Return the JSON text: the body itself, or what a form carries in its field `payload`."""
    fields = form_of(incoming)
    if fields is None:
        return incoming.body
    if "payload" not in fields:
        raise InvalidInput("the form needs one field payload", [Issue("/payload", "send it once, with the JSON")])
    return fields["payload"].encode()


SCHEME = Scheme(signatures=(_SIGNATURE,), most_bytes=25 * 2**20, prove=prove, read=read)
