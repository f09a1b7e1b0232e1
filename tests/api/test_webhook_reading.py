"""What proved deliveries become: ids that repeats share and nothing else does, their events and bodies."""

import base64
import hmac
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from app.webhooks import clickup, generic, make, slack, standard, stripe
from app.webhooks.source import Delivery, Greeting, Incoming, Scheme
from orchestrator.domain.errors import InvalidInput
from orchestrator.sources import Hmac

FORM = "application/x-www-form-urlencoded; charset=utf-8"
NOW = 1_795_000_000.0


def incoming(body: Any, **headers: str) -> Incoming:
    sent = body if isinstance(body, bytes) else orjson.dumps(body)
    return Incoming({name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}, sent, NOW)


def read(scheme: Scheme, body: Any, **headers: str) -> Delivery:
    delivery = scheme.read(incoming(body, **headers))
    assert isinstance(delivery, Delivery)
    return delivery


def change(*ids: Any, event: str = "taskUpdated", webhook: str = "w-1") -> dict[str, Any]:
    return {"webhook_id": webhook, "event": event, "history_items": [{"id": each} for each in ids], "task_id": "c0j"}


def test_a_change_in_clickup_is_known_by_webhook_event_and_history() -> None:
    first = read(clickup.SCHEME, change("1", "2"))
    assert (first.id, first.event) == ("w-1:taskUpdated:1,2", "taskUpdated")
    assert read(clickup.SCHEME, {**change("1", "2"), "task_id": "other"}).id == first.id
    others = [change("1"), change("2", "1"), change("1", "2", event="taskStatusUpdated"), change("1", "2", webhook="w")]
    assert len({first.id, *(read(clickup.SCHEME, other).id for other in others)}) == 5


def test_a_long_history_is_an_id_too() -> None:
    ids = [f"26428734{number:011d}" for number in range(40)]
    assert read(clickup.SCHEME, change(*ids)).id == read(clickup.SCHEME, change(*ids)).id
    assert read(clickup.SCHEME, change(*ids)).id != read(clickup.SCHEME, change(*ids[:-1])).id
    assert len(read(clickup.SCHEME, change(*ids)).id) == 64


@pytest.mark.parametrize("items", [[], None, "x", [{}], [{"id": None}], ["x"], [{"id": "1"}, {"id": ""}], [{"id": {}}]])
def test_without_a_history_equal_bodies_are_one_delivery_for_ten_minutes(items: Any) -> None:
    sent = incoming({"webhook_id": "w-1", "event": "spaceUpdated", "history_items": items})

    def ident(body: bytes, seconds: float) -> str:
        return clickup.read(replace(sent, body=body, at=NOW - NOW % 600 + seconds)).id

    assert ident(sent.body, 0) == ident(sent.body, 599)
    assert ident(sent.body, 0) != ident(sent.body, 600)
    assert ident(sent.body, 0) != ident(sent.body.replace(b"w-1", b"w-2"), 0)


@pytest.mark.parametrize(
    "body", [{}, {"event": "x"}, {"webhook_id": "w", "event": ""}, {"webhook_id": 7, "event": "x"}]
)
def test_what_clickup_always_sends_has_to_be_there(body: Any) -> None:
    with pytest.raises(InvalidInput):
        clickup.read(incoming(body))


@pytest.mark.parametrize("key", ["run-1", '"run-1"'])
def test_make_names_its_run_plain_or_quoted(key: str) -> None:
    delivery = read(make.SCHEME, {"event": "lead"}, idempotency_key=key)
    assert (delivery.id, delivery.event) == ("run-1", "lead")
    assert read(make.SCHEME, {"lead": 7}, idempotency_key=key).event == "scenario"


@pytest.mark.parametrize("key", ["", '""', "a b", "é", "k" * 101])
def test_make_has_to_name_its_run(key: str) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        make.read(incoming({}, idempotency_key=key))


@pytest.mark.parametrize(
    ("body", "event", "ident"),
    [
        ({"type": "event_callback", "event_id": "Ev1", "event": {"type": "message"}}, "message", "Ev1"),
        ({"type": "app_rate_limited", "minute_rate_limited": 1}, "app_rate_limited", None),
        ({"type": "event_callback", "event": {"type": "né"}, "event_id": "x" * 200}, "event", None),
    ],
)
def test_an_event_of_slack_is_named_by_what_is_inside(body: Any, event: str, ident: str | None) -> None:
    delivery = read(slack.SCHEME, body, x_slack_request_timestamp="1")
    assert (delivery.event, delivery.silent) == (event, False)
    assert delivery.id == ident or (ident is None and len(delivery.id) == 64)


def test_what_slack_gives_no_id_is_told_apart_by_its_signed_time() -> None:
    form = urlencode({"payload": '{"type": "view_closed"}'}).encode()
    ids = [read(slack.SCHEME, form, content_type=FORM, x_slack_request_timestamp=at).id for at in ("1", "1", "2")]
    assert ids[0] == ids[1] != ids[2]


def test_no_token_of_slack_is_kept() -> None:
    for body in ({"token": "t", "type": "event_callback", "event": {}, "event_id": "E"}, b"token=t&command=%2Fx"):
        kind = FORM if isinstance(body, bytes) else "application/json"
        assert "token" not in read(slack.SCHEME, body, content_type=kind, x_slack_request_timestamp="1").body


@pytest.mark.parametrize("challenge", [None, 7, "", "c" * 1001])
def test_a_challenge_is_short_text(challenge: Any) -> None:
    sent = incoming({"type": "url_verification", "challenge": challenge})
    if challenge == "":
        assert slack.read(sent) == Greeting("")
        return
    with pytest.raises(InvalidInput):
        slack.read(sent)


@pytest.mark.parametrize("family", ["webhook", "svix"])
def test_a_standard_webhook_is_named_by_its_type(family: str) -> None:
    names = {f"{family}_id": "msg_1", f"{family}_signature": "v1,x"}
    delivery = read(standard.SCHEME, {"type": "user.created", "data": {}}, **names)
    assert (delivery.id, delivery.event) == ("msg_1", "user.created")
    assert read(standard.SCHEME, {"type": ["x"]}, **names).event == "webhook"


def test_a_stripe_event_without_an_id_is_told_apart_by_its_signed_time() -> None:
    assert read(stripe.SCHEME, {"id": "evt_1", "type": "t"}, stripe_signature="t=1,v1=x").id == "evt_1"
    first, again, later = (read(stripe.SCHEME, {}, stripe_signature=f"t={at},v1=x") for at in (1, 1, 2))
    assert first.id == again.id != later.id


def test_a_declared_hmac_without_an_id_is_known_by_what_was_signed() -> None:
    scheme = generic.scheme(Hmac(header="X-Sig", timestamp_header="X-Time"))
    first, again, later = (read(scheme, {"event": "paid"}, x_time=at) for at in ("1", "1", "2"))
    assert first.id == again.id != later.id
    assert first.event == "paid"
    named = generic.scheme(Hmac(header="X-Sig", id_header="X-Id", event_header="X-Topic"))
    delivery = read(named, {"event": "paid"}, x_id="d-1", x_topic="refund")
    assert (delivery.id, delivery.event) == ("d-1", "refund")


@pytest.mark.parametrize(
    "how", [{}, {"prefix": "v1="}, {"encoding": "base64"}, {"algorithm": "sha512"}, {"algorithm": "sha1"}]
)
def test_a_declared_hmac_is_what_it_says_and_nothing_near_it(how: dict[str, Any]) -> None:
    scheme, declared = generic.scheme(Hmac(header="X-Sig", **how)), {"encoding": "hex", "algorithm": "sha256", **how}
    made = hmac.digest(b"secret", b"{}", declared["algorithm"])
    text = base64.b64encode(made).decode() if declared["encoding"] == "base64" else made.hex()
    good = declared.get("prefix", "") + text
    assert scheme.prove(incoming(b"{}", x_sig=good), ["other", "secret"]) == 1
    for wrong in (text + "0", text[:-1], "x" + good, good + good, made.hex()[::-1], "", "v2=" + text):
        assert scheme.prove(incoming(b"{}", x_sig=wrong), ["secret"]) is None
