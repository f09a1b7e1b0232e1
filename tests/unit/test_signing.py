"""Signatures of Standard Webhooks: the published vector, and which secrets sign when."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.signing import OVERLAP, Generation, Signer, signature

# https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests/test_webhooks.py (MIT)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STAMP = "1614265330"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MASTER, OLDER = "a master secret of the tests: new", "a master secret of the tests: old"


def signatures(signer: Signer, generation: Generation, now: datetime = NOW) -> list[str]:
    return signer.headers("acme", "s-1", generation, "evt_1", now, BODY)["webhook-signature"].split(" ")


def proved(secret: str) -> str:
    return signature(secret, "evt_1", str(int(NOW.timestamp())), BODY)


def test_the_published_vector_is_signed_alike() -> None:
    assert signature(SECRET, EVENT, STAMP, BODY) == SIGNATURE


@pytest.mark.parametrize(
    ("event", "stamp", "body"),
    [("msg_q5jXN8AQM9LWM0D4loKWxJek", STAMP, BODY), (EVENT, "1614265331", BODY), (EVENT, STAMP, BODY + b" ")],
)
def test_each_part_is_signed(event: str, stamp: str, body: bytes) -> None:
    assert signature(SECRET, event, stamp, body) != SIGNATURE


def test_the_secret_that_is_shown_proves_what_is_sent() -> None:
    signer = Signer((MASTER,))
    secret = signer.secret("acme", "s-1", 1)
    assert secret.startswith("whsec_")
    assert len(b64decode(secret.removeprefix("whsec_"))) == 32
    assert signatures(signer, Generation(1)) == [proved(secret)]


def test_every_recipient_has_a_secret_of_its_own() -> None:
    signer = Signer((MASTER,))
    asked = [("acme", "s-1", 1), ("acme", "s-1", 2), ("acme", "s-2", 1), ("other", "s-1", 1), ("acme", "callbacks", 1)]
    assert len({signer.secret(*each) for each in asked}) == len(asked)


def test_for_a_day_after_a_rotation_both_secrets_sign() -> None:
    signer = Signer((MASTER,))
    old, new = (signer.secret("acme", "s-1", number) for number in (1, 2))
    turned = Generation(2, NOW - OVERLAP + timedelta(seconds=1))
    assert signatures(signer, turned) == [proved(new), proved(old)]
    assert signatures(signer, Generation(2, NOW - OVERLAP)) == [proved(new)]


def test_a_master_that_is_on_its_way_out_signs_too() -> None:
    before, after = Signer((OLDER,)), Signer((MASTER, OLDER))
    kept = before.secret("acme", "s-1", 1)
    assert after.secret("acme", "s-1", 1) != kept
    assert proved(kept) in signatures(after, Generation(1))
    assert proved(kept) not in signatures(Signer((MASTER,)), Generation(1))


def test_without_a_master_the_variable_is_named() -> None:
    for act in (lambda: Signer().secret("acme", "s-1", 1), lambda: signatures(Signer(), Generation())):
        with pytest.raises(NotConfigured, match="AUREA_SIGNING_SECRETS"):
            act()


def test_masters_do_not_show() -> None:
    assert MASTER not in repr(Signer((MASTER,)))
