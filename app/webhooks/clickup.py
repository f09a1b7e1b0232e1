"""ClickUp: `X-Signature`, lower-case hex over the raw body. No time is signed, and there is no delivery id.

A repeat is known by the webhook, the event and the ids of its history. Events without a history (a space or a goal that
was changed) may truly come twice with the same body: of those a repeat is known for ten minutes. A 401 would make
ClickUp suspend the webhook at once, so a bad signature is answered with 403.
"""

from collections.abc import Sequence
from typing import Any

from app.webhooks.proof import hex_digest, matching
from app.webhooks.reading import hashed, json_object, printable
from app.webhooks.source import Delivery, Incoming, Scheme
from orchestrator.domain.errors import InvalidInput, Issue, SignatureForbidden

_SIGNATURE = "X-Signature"
_WINDOW_SECONDS = 600


def prove(incoming: Incoming, secrets: Sequence[str]) -> int | None:
    sent = [incoming.header(_SIGNATURE)]
    return matching(secrets, lambda secret: hex_digest("sha256", secret, incoming.body), sent)


def read(incoming: Incoming) -> Delivery:
    body = json_object(incoming.body)
    webhook, event = (_named(body, field) for field in ("webhook_id", "event"))
    history = _history(body.get("history_items"))
    if history:
        told = f"{webhook}:{event}:{','.join(history)}"
        ident = printable(told) or hashed(told.encode())
    else:
        window = int(incoming.at) // _WINDOW_SECONDS
        ident = hashed(incoming.body, str(window).encode())
    return Delivery(id=ident, event=event, headers={}, body=body)


def _named(body: dict[str, Any], field: str) -> str:
    value = printable(body.get(field))
    if value is None:
        fix = "is required: 1 to 100 printable ASCII characters"
        raise InvalidInput(f"/{field} {fix}", [Issue(f"/{field}", fix)])
    return value


def _history(items: Any) -> list[str]:
    """Return the ids of the changes that an event tells of; empty when not every one of them has one."""
    if not isinstance(items, list):
        return []
    ids = [item.get("id") if isinstance(item, dict) else None for item in items]
    return [str(each) for each in ids] if all(isinstance(each, str | int) and each != "" for each in ids) else []


SCHEME = Scheme(signatures=(_SIGNATURE,), most_bytes=5 * 2**20, prove=prove, read=read, refusal=SignatureForbidden)
