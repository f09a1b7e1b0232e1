"""Stripe, and who signs like it: `Stripe-Signature: t=<Unix seconds>,v1=<hex>`, over time and raw body.

Several `v1` may be sent while a secret is changed; other versions are passed over. The secret is used as the text it
is, `whsec_` included.
"""

from collections.abc import Sequence

from app.webhooks.proof import hex_digest, is_fresh, listed, matching
from app.webhooks.reading import hashed, json_object, printable
from app.webhooks.source import Delivery, Incoming, Scheme

_SIGNATURE = "Stripe-Signature"


def prove(incoming: Incoming, secrets: Sequence[str]) -> int | None:
    stamps, sent = _parts(incoming, b"t="), _parts(incoming, b"v1=")
    if len(stamps) != 1 or not sent or not is_fresh(stamps[0], incoming):
        return None
    signed = stamps[0] + b"." + incoming.body
    return matching(secrets, lambda secret: hex_digest("sha256", secret, signed), sent)


def read(incoming: Incoming) -> Delivery:
    body = json_object(incoming.body)
    return Delivery(
        id=printable(body.get("id")) or hashed(*_parts(incoming, b"t="), incoming.body),
        event=printable(body.get("type")) or "webhook",
        headers={},
        body=body,
    )


def _parts(incoming: Incoming, name: bytes) -> list[bytes]:
    """Return the values of this name that the header holds."""
    parts = listed(incoming.header(_SIGNATURE), b",")
    return [part.removeprefix(name) for part in parts if part.startswith(name)]


SCHEME = Scheme(signatures=(_SIGNATURE,), most_bytes=2**20, prove=prove, read=read)
