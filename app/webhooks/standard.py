"""Standard Webhooks (standardwebhooks.com), with Svix's names of the headers too: id, time and raw body are signed.

`v1` is an HMAC with the key behind `whsec_`; `v1a` is Ed25519, checked with `whpk_`, or with the `whsk_` it belongs to.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.webhooks.proof import is_fresh, listed
from app.webhooks.reading import json_object, printable, required
from app.webhooks.source import Delivery, Incoming, Scheme
from orchestrator.domain.signing import keyed_signature, signed_text
from orchestrator.sources import open_key

_FAMILIES = ("webhook", "svix")
_HALF_OF_A_KEY_PAIR = 32


def prove(incoming: Incoming, secrets: Sequence[str]) -> int | None:
    family = _family(incoming)
    ident, stamp = incoming.header(f"{family}-id"), incoming.header(f"{family}-timestamp")
    sent = listed(incoming.header(f"{family}-signature"), b" ")
    if not sent or not ident or not is_fresh(stamp, incoming):
        return None
    signed = signed_text(ident, stamp, incoming.body)
    found: int | None = None
    for place, secret in enumerate(secrets):
        if _signed_with(secret, signed, sent):
            found = place
    return found


def read(incoming: Incoming) -> Delivery:
    body = json_object(incoming.body)
    return Delivery(
        id=required(incoming, f"{_family(incoming)}-id"),
        event=printable(body.get("type")) or "webhook",
        headers={},
        body=body,
    )


def _family(incoming: Incoming) -> str:
    return next((name for name in _FAMILIES if f"{name}-signature".encode() in incoming.headers), _FAMILIES[0])


def _signed_with(secret: str, signed: bytes, sent: Sequence[bytes]) -> bool:
    opened = open_key(secret)
    if opened is None:
        return False
    kind, key = opened
    if kind == "whsec":
        wanted = keyed_signature(key, signed)
        return any(hmac.compare_digest(wanted, each) for each in sent)
    public = Ed25519PublicKey.from_public_bytes(key[-_HALF_OF_A_KEY_PAIR:])
    return any(_verifies(public, each, signed) for each in sent if each.startswith(b"v1a,"))


def _verifies(public: Ed25519PublicKey, sent: bytes, signed: bytes) -> bool:
    try:
        signature = b64decode(sent.removeprefix(b"v1a,"), validate=True)
        public.verify(signature, signed)
    except (NotBase64, ValueError, InvalidSignature):
        return False
    return b64encode(signature) == sent.removeprefix(b"v1a,")  # the one spelling of these bytes


SCHEME = Scheme(
    signatures=tuple(f"{family}-signature" for family in _FAMILIES), most_bytes=2**20, prove=prove, read=read
)
