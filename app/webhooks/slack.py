"""Slack: events, slash commands and interactivity, all signed with `X-Slack-Signature` over version, time and raw body.

Slack waits three seconds and then sends an event again. It takes any 2xx for an event, and shows people what it is
answered to a command or a click, so those get an empty 200. The challenge of a new address is answered like all else:
only behind a good signature. The old verification `token` is a secret and is not kept.
"""

from collections.abc import Sequence
from typing import Any

from app.webhooks.proof import hex_digest, is_fresh, matching
from app.webhooks.reading import form_of, hashed, json_object, printable
from app.webhooks.source import Delivery, Greeting, Incoming, Scheme
from orchestrator.domain.errors import InvalidInput, Issue

_SIGNATURE, _TIMESTAMP = "X-Slack-Signature", "X-Slack-Request-Timestamp"
_LONGEST_CHALLENGE = 1000


def prove(incoming: Incoming, secrets: Sequence[str]) -> int | None:
    stamp = incoming.header(_TIMESTAMP)
    if not is_fresh(stamp, incoming):
        return None
    signed = b"v0:" + stamp + b":" + incoming.body
    sent = [incoming.header(_SIGNATURE)]
    return matching(secrets, lambda secret: b"v0=" + hex_digest("sha256", secret, signed), sent)


def read(incoming: Incoming) -> Delivery | Greeting:
    fields = form_of(incoming)
    if fields is None:
        return _event(incoming, json_object(incoming.body))
    if "payload" in fields:
        body = json_object(fields["payload"].encode())
        return _shown(incoming, printable(body.get("type")) or "interaction", body)
    if "command" in fields:
        return _shown(incoming, "slash_command", fields)
    if fields.get("ssl_check") == "1":
        return Greeting()
    fix = "is required in a form: a command, or the payload of an interaction"
    raise InvalidInput(f"/payload {fix}", [Issue("/payload", fix)])


def _event(incoming: Incoming, body: dict[str, Any]) -> Delivery | Greeting:
    kind, challenge, inner = body.get("type"), body.get("challenge"), body.get("event")
    if kind == "url_verification":
        if not isinstance(challenge, str) or len(challenge) > _LONGEST_CHALLENGE:
            fix = f"is required: text of at most {_LONGEST_CHALLENGE} characters"
            raise InvalidInput(f"/challenge {fix}", [Issue("/challenge", fix)])
        return Greeting(challenge)
    event = printable(inner.get("type") if isinstance(inner, dict) else kind) or "event"
    return Delivery(_id(incoming, body.get("event_id")), event, {}, _kept(body))


def _shown(incoming: Incoming, event: str, body: dict[str, Any]) -> Delivery:
    return Delivery(_id(incoming, body.get("trigger_id")), event, {}, _kept(body), silent=True)


def _id(incoming: Incoming, given: Any) -> str:
    """Return Slack's id of it; where there is none, nothing is sent again, and the signed time tells two apart."""
    return printable(given) or hashed(incoming.header(_TIMESTAMP), incoming.body)


def _kept(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "token"}


SCHEME = Scheme(signatures=(_SIGNATURE,), most_bytes=2**20, prove=prove, read=read)
