"""The SDK's redaction: values of secrets are found in the forms in which they turn up."""

import json
from urllib.parse import quote

import pytest

from orchestrator.sdk import Redaction
from orchestrator.telemetry import redaction

SECRET = 'canary "7" ä/ö'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET, safe=""),
        quote(SECRET, safe="-_.!~*'()"),
    ],
)
def test_a_secret_is_hidden_as_it_is_and_inside_json_and_urls(form: str) -> None:
    assert Redaction([SECRET]).text(f"before {form} after") == "before [redacted] after"


def test_each_longer_line_of_a_secret_is_hidden() -> None:
    shown = Redaction(["-----KEY-----\nMIIEowIBAAKCAQEA\nend"]).text("x MIIEowIBAAKCAQEA end")
    assert shown == "x [redacted] end"


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    assert Redaction(["canary", "canary-and-more"]).text("canary-and-more") == "[redacted]"


def test_values_that_are_in_too_many_words_are_left() -> None:
    assert Redaction(["", "abc"]).text("abc") == "abc"
    assert Redaction([]).text("anything") == "anything"


def test_a_json_value_is_searched_in_keys_texts_and_numbers() -> None:
    given = {"canary": ["a canary", 8642, 1.5, True, None], "kept": {"n": 1}}
    shown = {"[redacted]": ["a [redacted]", "[redacted]", 1.5, True, None], "kept": {"n": 1}}
    assert Redaction(["canary", "8642"]).value(given) == shown


def test_a_variable_that_is_no_utf8_is_hidden_as_it_is_read() -> None:
    variable = b"canary-\xff-7".decode("utf-8", "surrogateescape")
    assert Redaction([variable]).text(b"<canary-\xff-7>".decode("utf-8", "replace")) == "<[redacted]>"


def test_its_mark_is_that_of_the_logs_and_it_shows_no_secret_itself() -> None:
    known = Redaction([SECRET])
    assert known.text(SECRET) == redaction.HIDDEN
    assert "canary" not in repr(known)
