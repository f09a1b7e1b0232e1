"""GitHub's own signature vectors, and everything that is not one."""

import hashlib
import hmac
from urllib.parse import quote_plus

import pytest

from app.webhooks.github import SCHEME
from app.webhooks.source import Incoming
from orchestrator.domain.errors import InvalidInput

GOOD = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SECRET, BODY = "It's a Secret to Everybody", b"Hello, World!"


def incoming(body: bytes, **headers: str | bytes) -> Incoming:
    encoded = {
        name.replace("_", "-").encode(): value.encode() if isinstance(value, str) else value
        for name, value in headers.items()
    }
    return Incoming(encoded, body)


@pytest.mark.parametrize(
    ("secret", "body", "signature"),
    [
        (SECRET, BODY, GOOD),  # github/docs, validating-webhook-deliveries
        ("mysecret", b'{"foo":"bar"}', "4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3"),  # octokit
        ("secret", b"data", "1b2c16b75bd2a870c114153ccda5bcfca63314bc722fa160d690de133ccbb9db"),  # octokit
    ],
)
def test_published_vectors_are_proved(secret: str, body: bytes, signature: str) -> None:
    assert SCHEME.prove(incoming(body, x_hub_signature_256=f"sha256={signature}"), [secret]) == 0


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"sha256=",
        b"sha256",
        GOOD.encode(),
        b"sha1=" + GOOD.encode(),
        b"SHA256=" + GOOD.encode(),
        b"sha256=" + GOOD.upper().encode(),
        b"sha256=" + GOOD[:-1].encode(),
        b"sha256=" + GOOD.encode() + b"0",
        b"sha256=" + GOOD[:-1].encode() + b"6",
        b" sha256=" + GOOD.encode(),
        b"sha256=" + GOOD.encode() + b",sha256=" + GOOD.encode(),
        b"sha256=\xff\xfe\x00",
        "sha256=ééé".encode(),
        b"sha256=" + b"0" * 100_000,
        b"\x00",
    ],
)
def test_any_other_header_is_refused_without_an_error(header: bytes) -> None:
    assert SCHEME.prove(incoming(BODY, x_hub_signature_256=header), [SECRET]) is None
    assert SCHEME.prove(incoming(BODY), [SECRET]) is None


def test_each_flipped_byte_of_the_body_is_noticed() -> None:
    for place in range(len(BODY)):
        flipped = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        assert SCHEME.prove(incoming(flipped, x_hub_signature_256=f"sha256={GOOD}"), [SECRET]) is None


def test_a_form_and_plain_json_read_the_same() -> None:
    text = '{"zen": "a+b & c=d é", "n": 1}'
    names = {"x_github_delivery": "d-1", "x_github_event": "ping"}
    form = incoming(b"payload=" + quote_plus(text).encode(), content_type="application/x-www-form-urlencoded", **names)
    plain = incoming(text.encode(), content_type="application/json", **names)
    assert SCHEME.read(form) == SCHEME.read(plain)
    assert SCHEME.read(plain).body == {"zen": "a+b & c=d é", "n": 1}


def test_only_headers_that_every_repeat_has_are_kept() -> None:
    delivery = SCHEME.read(
        incoming(b"{}", x_github_delivery="d-1", x_github_event="push", x_github_hook_id="7", user_agent="Hookshot/a")
    )
    assert (delivery.id, delivery.event, delivery.headers) == ("d-1", "push", {"x-github-hook-id": "7"})


@pytest.mark.parametrize("value", ["", "a" * 101, "a b", "é"])
def test_a_delivery_id_is_1_to_100_printable_characters(value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        SCHEME.read(incoming(b"{}", x_github_delivery=value, x_github_event="push"))
    assert refused.value.issues[0].pointer == "/headers/X-GitHub-Delivery"


@pytest.mark.parametrize(
    "body", [b"", b"payload", b"other=1", b"payload=%7B%7D&payload=%7B%7D", b"payload=%ff", b"\xff"]
)
def test_a_form_without_one_json_payload_is_refused(body: bytes) -> None:
    names = {"x_github_delivery": "d-1", "x_github_event": "push"}
    with pytest.raises(InvalidInput):
        SCHEME.read(incoming(body, content_type="application/x-www-form-urlencoded; charset=utf-8", **names))


def test_the_signature_is_over_the_raw_body_whatever_it_holds() -> None:
    body = b"\xff\x00not json"
    signature = hmac.new(b"s", body, hashlib.sha256).hexdigest()
    assert SCHEME.prove(incoming(body, x_hub_signature_256=f"sha256={signature}"), ["s"]) == 0
