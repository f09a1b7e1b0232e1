"""Make: its scenarios sign nothing by themselves; their HTTP module sends the headers that somebody typed.

So a scenario sends a key of its own in `x-make-apikey`. Where it can compute one it sends `x-make-signature` instead:
lower-case hex HMAC-SHA256 with that key over `<Idempotency-Key>.<body>`, so that the key never travels and nobody
changes the id. The header `Idempotency-Key` tells a repeat.
"""

from collections.abc import Sequence

from app.webhooks.proof import hex_digest, matching
from app.webhooks.reading import json_object, printable, required
from app.webhooks.source import Delivery, Incoming, Scheme
from orchestrator.domain.errors import InvalidInput

_KEY, _SIGNATURE, _ID = "x-make-apikey", "x-make-signature", "Idempotency-Key"


def prove(incoming: Incoming, secrets: Sequence[str]) -> int | None:
    """A signature, where there is one, decides alone."""
    if _SIGNATURE.encode() in incoming.headers:
        signed = incoming.header(_ID) + b"." + incoming.body
        sent = [incoming.header(_SIGNATURE)]
        return matching(secrets, lambda secret: hex_digest("sha256", secret, signed), sent)
    return matching(secrets, lambda secret: secret, [incoming.header(_KEY)])


def read(incoming: Incoming) -> Delivery:
    body = json_object(incoming.body)
    return Delivery(id=_id(incoming), event=printable(body.get("event")) or "scenario", headers={}, body=body)


def _id(incoming: Incoming) -> str:
    """Return the key, plain or quoted. Raises InvalidInput."""
    quoted = printable(required(incoming, _ID).strip('"'))
    if quoted is None:
        raise InvalidInput(f"the header {_ID} is empty: send what makes this run of the scenario unique")
    return quoted


SCHEME = Scheme(signatures=(_KEY, _SIGNATURE), most_bytes=5 * 2**20, prove=prove, read=read)
