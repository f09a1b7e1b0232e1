"""The signatures that senders publish in documents and tests of theirs verify here, each at its own time alone."""

from dataclasses import dataclass, replace

import pytest

from app.webhooks.register import SCHEMES
from app.webhooks.source import Incoming

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14"
    b"d10d2c447fce8b6703c"
)
STRIPE_BODY = (
    b'{\n  "id": "evt_test_webhook",\n  "object": "event",\n  "data": { "object": { "id": "rdr_123", "object":'
    b' "terminal.reader" } }\n}'
)
CLICKUP_BODY = b'{"webhook_id":"7689a169-a000-4985-8676-6902b96d6627","event":"taskCreated","task_id":"c0j"}'
STANDARD = {"id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "timestamp": "1614265330"}
SYMMETRIC = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
ASYMMETRIC = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHPK = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
WHSK = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="


@dataclass(frozen=True)
class Vector:
    scheme: str
    secret: str
    body: bytes
    headers: dict[str, str]
    at: float = 0.0

    def proved(self, *secrets: str, at: float | None = None) -> int | None:
        headers = {name.lower().encode(): text.encode() for name, text in self.headers.items()}
        incoming = Incoming(headers, self.body, self.at if at is None else at)
        return SCHEMES[self.scheme].prove(incoming, secrets or [self.secret])


def standard(signature: str, secret: str, family: str = "webhook") -> Vector:
    headers = {f"{family}-{name}": text for name, text in {**STANDARD, "signature": signature}.items()}
    return Vector("standard", secret, b'{"test": 2432232314}', headers, 1614265330)


def github(secret: str, body: bytes, signature: str) -> Vector:
    return Vector("github", secret, body, {"X-Hub-Signature-256": f"sha256={signature}"})


VECTORS = {
    "github/docs, validating-webhook-deliveries": github(
        "It's a Secret to Everybody",
        b"Hello, World!",
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    ),
    "octokit/webhooks-methods.js, verify": github(
        "mysecret", b'{"foo":"bar"}', "4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3"
    ),
    "octokit/webhooks-methods.js, web": github(
        "secret", b"data", "1b2c16b75bd2a870c114153ccda5bcfca63314bc722fa160d690de133ccbb9db"
    ),
    "developer.clickup.com, webhooksignature": Vector(
        "clickup", "secret", CLICKUP_BODY,
        {"X-Signature": "4830bf524f6e29a3e8da953936c6f21c1fea2b9669b825d3e1be293ef3416c8c"},
    ),
    "slackapi/python-slack-sdk, test_signature_verifier": Vector(
        "slack", "8f742231b10e8888abcd99yyyzzz85a5", SLACK_BODY,
        {
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        1531420618,
    ),
    "standard-webhooks, test_sign_function": standard(SYMMETRIC, WHSEC),
    "the same by Svix's names": standard(SYMMETRIC, WHSEC, "svix"),
    "the same behind others": standard(f"v1,AAAA v1a,BBBB v2,CCCC {SYMMETRIC}", WHSEC),
    "svix-webhooks, worker.rs, by the public key": standard(ASYMMETRIC, WHPK),
    "svix-webhooks, worker.rs, by the private key": standard(ASYMMETRIC, WHSK),
    "stripe-python's payload": Vector(
        "stripe", "whsec_test_secret", STRIPE_BODY,
        {"Stripe-Signature": "t=1614265330,v1=117f2d4aa1697fc9f837f2feca4e5e23ec790ffa7b6b669073d3677ae48c4b5f"},
        1614265330,
    ),
    "the same behind another and an older version": Vector(
        "stripe", "whsec_test_secret", STRIPE_BODY,
        {
            "Stripe-Signature": f"t=1614265330,v0=00,v1={'0' * 64},"
            "v1=117f2d4aa1697fc9f837f2feca4e5e23ec790ffa7b6b669073d3677ae48c4b5f"
        },
        1614265330,
    ),
}  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_a_published_vector_is_proved_and_by_no_other_secret(vector: Vector) -> None:
    assert vector.proved() == 0
    assert vector.proved("another", "another-2", vector.secret) == 2
    assert vector.proved("another", "") is None


@pytest.mark.parametrize("vector", [vector for vector in VECTORS.values() if vector.at])
def test_a_time_is_good_for_five_minutes_before_and_behind_it(vector: Vector) -> None:
    for seconds in (-300, 299, 300):
        assert vector.proved(at=vector.at + seconds) == 0
    for seconds in (-301, 301, 1e9, -1e9):
        assert vector.proved(at=vector.at + seconds) is None


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_each_flipped_byte_of_the_body_is_noticed(vector: Vector) -> None:
    for place in range(len(vector.body)):
        flipped = vector.body[:place] + bytes([vector.body[place] ^ 1]) + vector.body[place + 1 :]
        assert replace(vector, body=flipped).proved() is None


@pytest.mark.parametrize(
    "signature",
    [
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",  # standard-webhooks: one bit off
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",  # without its padding
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",  # other spare bits
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1, g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        " ".join(["v1,AAAA"] * 22) + " " + SYMMETRIC,  # behind more than anybody sends
    ],
)
def test_a_standard_signature_has_one_spelling_and_few_before_it(signature: str) -> None:
    assert standard(signature, WHSEC).proved() is None


@pytest.mark.parametrize("spoilt", [ASYMMETRIC[:-3] + "h==", ASYMMETRIC.replace("h", "i", 1), ASYMMETRIC[:-2], "v1a,"])
def test_an_asymmetric_signature_has_one_spelling(spoilt: str) -> None:
    assert standard(spoilt, WHPK).proved() is None


def test_the_two_families_of_standard_names_are_not_mixed() -> None:
    mixed = standard(SYMMETRIC, WHSEC)
    assert replace(mixed, headers={**mixed.headers, "svix-signature": "v1,AAAA"}).proved() == 0
    half = {"svix-signature": SYMMETRIC, "webhook-id": STANDARD["id"], "webhook-timestamp": STANDARD["timestamp"]}
    assert replace(mixed, headers=half).proved() is None


@pytest.mark.parametrize("secret", ["whsec_", "whsec_x", "whpk_AAAA", "whsk_AAAA", "é", "", "whpk_" + "A" * 1000])
def test_a_secret_that_is_no_key_proves_nothing(secret: str) -> None:
    assert standard(SYMMETRIC, secret).proved() is None
    assert standard(ASYMMETRIC, secret).proved() is None
