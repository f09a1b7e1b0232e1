"""Senders of no known scheme that sign with an HMAC: header, encoding and what is signed stand in the declaration."""

import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from typing import Any

from app.strict_form import parse_form
from app.strict_json import parse_json
from app.webhooks.proof import hex_digest, is_fresh, matching
from app.webhooks.reading import hashed, printable, required
from app.webhooks.source import Delivery, Incoming, Scheme
from orchestrator.domain.errors import InvalidInput, Issue, NotJson
from orchestrator.sources import Hmac

_FIELDS = re.compile(r"(\{(?:body|timestamp|id)\})")


def scheme(how: Hmac) -> Scheme:
    return Scheme((how.header,), most_bytes=2**20, prove=partial(prove, how), read=partial(read, how))


def prove(how: Hmac, incoming: Incoming, secrets: Sequence[str]) -> int | None:
    sent, prefix = incoming.header(how.header), how.prefix.encode()
    if not sent.startswith(prefix) or len(sent) > len(prefix) + 200:
        return None
    if how.timestamp_header is not None and not is_fresh(incoming.header(how.timestamp_header), incoming):
        return None
    signed, bare = _signed(how, incoming), sent.removeprefix(prefix)
    if how.encoding == "hex":
        return matching(secrets, lambda secret: hex_digest(how.algorithm, secret, signed), [bare.lower()])
    return matching(secrets, lambda secret: b64encode(hmac.digest(secret, signed, how.algorithm)), [bare])


def read(how: Hmac, incoming: Incoming) -> Delivery:
    body = _body(how, incoming)
    named = body.get(how.event_field) if isinstance(body, dict) else None
    if how.event_header is not None:
        named = incoming.header(how.event_header).decode("latin-1")
    ident = hashed(_signed(how, incoming)) if how.id_header is None else required(incoming, how.id_header)
    return Delivery(id=ident, event=printable(named) or "webhook", headers={}, body=body)


def _signed(how: Hmac, incoming: Incoming) -> bytes:
    values = {
        "{body}": incoming.body,
        "{timestamp}": incoming.header(how.timestamp_header or ""),
        "{id}": incoming.header(how.id_header or ""),
    }
    return b"".join(values.get(part, part.encode()) for part in _FIELDS.split(how.template))


def _body(how: Hmac, incoming: Incoming) -> Any:
    if how.body == "form":
        return parse_form(incoming.body)
    if how.body == "json":
        return parse_json(incoming.body)
    try:
        text = incoming.body.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8: byte {error.start} does not belong to a character") from None
    if "\x00" in text:
        raise InvalidInput("the body holds the character U+0000, which cannot be stored", [Issue("", "remove it")])
    return text
