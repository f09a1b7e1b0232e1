"""Senders of webhooks, one for each scheme: they sign as the services do, and a forger spoils what they signed."""

import base64
import hmac
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from tests.api.door import Door, open_door

SECRET = "a-secret-of-a-sender-0123456789abcdef"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
DECLARED = """
[[sources]]
name = "std"
scheme = "standard"
secret_variable = "STD_SECRET"

[[sources]]
name = "pay"
scheme = "stripe"
secret_variable = "PAY_SECRET"

[[sources]]
name = "shop"
scheme = "hmac"
secret_variable = "SHOP_SECRET"

[sources.hmac]
header = "X-Shop-Signature"
prefix = "v2="
encoding = "base64"
algorithm = "sha512"
timestamp_header = "X-Shop-Time"
id_header = "X-Shop-Id"
signed = "{id}:{timestamp}:{body}"
event_header = "X-Shop-Topic"
"""
VARIABLES = {"STD_SECRET": KEY, "PAY_SECRET": SECRET, "SHOP_SECRET": SECRET}
BUILT_IN = ("github_webhook_secret", "clickup_webhook_secret", "make_webhook_secret", "slack_signing_secret")

Headers = dict[str, bytes]


@dataclass(frozen=True)
class Request:
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Sender:
    """How one service sends: its path, a body that it could send, how it signs, and which headers its proof is in."""

    source: str
    body: Callable[[str], bytes]
    """By the id of the delivery."""
    sign: Callable[[bytes, str, int, str], dict[str, str]]
    """Body, id, Unix seconds, secret: the headers."""
    signature: str
    timestamp: str | None = None
    secret: str = SECRET
    signs_body: bool = True
    refused: int = 401
    accepted: int = 202
    content_type: str = "application/json"

    def request(
        self, ident: str = "d-1", at: float | None = None, *, body: bytes | None = None, secret: str | None = None
    ) -> Request:
        sent = self.body(ident) if body is None else body
        moment = int(time.time() if at is None else at)
        signed = self.sign(sent, ident, moment, self.secret if secret is None else secret)
        return Request({name: text.encode() for name, text in signed.items()}, sent)

    async def send(self, door: Door, request: Request | None = None, source: str | None = None) -> httpx2.Response:
        sent = self.request() if request is None else request
        headers = {"Content-Type": self.content_type.encode(), **sent.headers, "Authorization": b""}
        return await door.http.post(f"/webhooks/{source or self.source}", content=sent.body, headers=headers)


def digest(secret: str | bytes, signed: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode() if isinstance(secret, str) else secret, signed, algorithm).hexdigest()


def _github(body: bytes, ident: str, at: int, secret: str) -> dict[str, str]:
    names = {"X-GitHub-Delivery": ident, "X-GitHub-Event": "push"}
    return {"X-Hub-Signature-256": f"sha256={digest(secret, body)}", **names}


def _slack(body: bytes, ident: str, at: int, secret: str) -> dict[str, str]:
    signed = b"v0:%d:%b" % (at, body)
    return {"X-Slack-Signature": f"v0={digest(secret, signed)}", "X-Slack-Request-Timestamp": str(at)}


def _standard(body: bytes, ident: str, at: int, secret: str) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.digest(key, f"{ident}.{at}.".encode() + body, "sha256")
    names = {"webhook-id": ident, "webhook-timestamp": str(at)}
    return {"webhook-signature": f"v1,{base64.b64encode(made).decode()}", **names}


def _shop(body: bytes, ident: str, at: int, secret: str) -> dict[str, str]:
    made = hmac.digest(secret.encode(), f"{ident}:{at}:".encode() + body, "sha512")
    names = {"X-Shop-Id": ident, "X-Shop-Time": str(at), "X-Shop-Topic": "order"}
    return {"X-Shop-Signature": f"v2={base64.b64encode(made).decode()}", **names}


def _stripe(body: bytes, ident: str, at: int, secret: str) -> dict[str, str]:
    return {"Stripe-Signature": f"t={at},v1={digest(secret, b'%d.%b' % (at, body))}"}


def _json(text: str) -> Callable[[str], bytes]:
    return lambda ident: text.replace("ID", ident).encode()


SENDERS = {
    "github": Sender("github", _json('{"ref": "main"}'), _github, "X-Hub-Signature-256"),
    "clickup": Sender(
        "clickup",
        _json('{"webhook_id": "w-1", "event": "taskUpdated", "history_items": [{"id": "ID"}]}'),
        lambda body, _, __, secret: {"X-Signature": digest(secret, body)},
        "X-Signature",
        refused=403,
    ),
    "make": Sender(
        "make",
        _json('{"event": "lead"}'),
        lambda _, ident, __, secret: {"x-make-apikey": secret, "Idempotency-Key": ident},
        "x-make-apikey",
        signs_body=False,
    ),
    "make signed": Sender(
        "make",
        _json('{"event": "lead"}'),
        lambda body, ident, _, secret: {
            "x-make-signature": digest(secret, ident.encode() + b"." + body), "Idempotency-Key": ident
        },
        "x-make-signature",
    ),
    "slack": Sender(
        "slack",
        _json('{"type": "event_callback", "event_id": "ID", "token": "old", "event": {"type": "app_mention"}}'),
        _slack,
        "X-Slack-Signature",
        "X-Slack-Request-Timestamp",
    ),
    "slack command": Sender(
        "slack",
        lambda ident: urlencode({"command": "/deploy", "text": "né", "trigger_id": ident, "token": "old"}).encode(),
        _slack,
        "X-Slack-Signature",
        "X-Slack-Request-Timestamp",
        accepted=200,
        content_type="application/x-www-form-urlencoded",
    ),
    "standard": Sender(
        "std", _json('{"type": "user.created"}'), _standard, "webhook-signature", "webhook-timestamp", secret=KEY
    ),
    "stripe": Sender("pay", _json('{"id": "ID", "type": "charge.paid"}'), _stripe, "Stripe-Signature"),
    "hmac": Sender("shop", _json('{"order": 7}'), _shop, "X-Shop-Signature", "X-Shop-Time"),
}  # fmt: skip


@asynccontextmanager
async def open_to_all(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    *,
    more: str = "",
    **changes: Any,
) -> AsyncIterator[Door]:
    """The door with every sender's secret; `more` is declared beside the usual sources."""
    rules = tmp_path / "sources.toml"
    rules.write_text(DECLARED + more)
    for name, secret in VARIABLES.items():
        monkeypatch.setenv(name, secret)
    given = {**dict.fromkeys(BUILT_IN, SECRET), "aurea_webhook_rules": rules, **changes}
    async with open_door(database_url, redis_url, **given) as door:
        yield door


def forgeries(sender: Sender) -> Iterator[tuple[str, Request]]:
    """Requests that nobody with the secret has made, or that were made at another time."""
    good = sender.request()
    for name, spoilt in _spoilt(good.headers[sender.signature], sender):
        yield name, replace(good, headers={**good.headers, sender.signature: spoilt})
    yield "no signature", replace(good, headers={k: v for k, v in good.headers.items() if k != sender.signature})
    for secret in ("another-secret-0123456789abcdef", "", SECRET + "x", SECRET[:-1]):
        wrong = "whsec_" + base64.b64encode(secret.encode().ljust(32)).decode() if sender.secret == KEY else secret
        yield f"signed with {secret!r}", sender.request(secret=wrong)
    if sender.signs_body:
        yield from _other_bodies(good)
    for name, stamp in _stamps(sender):
        yield name, stamp


def _spoilt(good: bytes, sender: Sender) -> Iterator[tuple[str, bytes]]:
    start = len(good) - 40
    for place in range(start, len(good)):
        # In base64 the last character before the padding has bits that mean nothing: the spelling counts as well.
        yield f"flip {place}", good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    bare = good.split(b"=", 1)[-1].split(b",")[-1]
    yield from {
        "empty": b"", "cut": good[:-1], "longer": good + b"0", "doubled": good[:-1] + good[:-1], "bare": b"=" + bare,
        "other prefix": b"sha1=" + bare, "older version": b"v0," + bare, "upper": good.swapcase(), "no comma": b"v1",
        "NUL": b"\x00", "high bytes": b"\xff\xfe\x80", "UTF-8": "sha256=ééé".encode(), "null": b"null", "none": b"None",
        "zeros": b"0" * 64, "long": b"A" * 10_000, "equals": b"=" * 40, "commas": b"," * 40, "brackets": b"[]{}",
        "many": b",".join([b"v1=" + b"0" * 64] * 10_000), "many versions": b" ".join([b"v1,AAAA"] * 10_000),
        "not base64": b"v1,%%%%", "ed25519 of nothing": b"v1a,AAAA", "header in it": good[:10] + b"\r\nX: y",
    }.items()  # fmt: skip


def _other_bodies(good: Request) -> Iterator[tuple[str, Request]]:
    body = good.body
    for place in (0, len(body) // 2, len(body) - 1):
        yield f"body flip {place}", replace(good, body=body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :])
    yield "body cut", replace(good, body=body[:-1])
    yield "body longer", replace(good, body=body + b"\n")
    yield "no body", replace(good, body=b"")


def _stamps(sender: Sender) -> Iterator[tuple[str, Request]]:
    now = time.time()
    if sender.timestamp is None and sender.source != "pay":
        return
    for seconds in (-310, 310, -86_400, 86_400, -(10**9)):
        yield f"signed {seconds} s away", sender.request(at=now + seconds)
    good = sender.request()
    for stamp in ("NaN", "nan", "inf", "-inf", "1e9", "-1", "0", "", " ", "9" * 400, f"{now}", f"+{int(now)}", "0x1",
                  "１７", "²", "true", f"{int(now) * 1000}", f"{int(now) + 1}"):  # fmt: skip
        if sender.timestamp is not None:
            yield f"time {stamp[:20]}", replace(good, headers={**good.headers, sender.timestamp: stamp.encode()})
        else:
            spoilt = b"t=" + stamp.encode() + b"," + good.headers[sender.signature].split(b",")[1]
            yield f"time {stamp[:20]}", replace(good, headers={**good.headers, sender.signature: spoilt})
