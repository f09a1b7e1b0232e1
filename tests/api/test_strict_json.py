"""What is let in can be stored, and comes out as it went in."""

import orjson
import pytest

from app.strict_json import parse_json, pointer_to
from orchestrator.domain.errors import InvalidInput, NotJson

DEEP = 100


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.5, true, null, "x"]}',
        b'{"a": "\\\\u0000"}',  # a backslash and five characters, no NUL
        b'"1180591620717411303424"',
        b"[18446744073709551615, -9223372036854775808]",
        b"[0.1234567890123456789012, 1e300]",
        '{"é": "\N{GRINNING FACE}"}'.encode(),
        b"[" * DEEP + b"]" * DEEP,
        b'[{"a": 1}, {"a": {"a": "a\\": a"}}]',  # the same key, each time in another object
        b'{"\xc3\xa9": 1, "e\xcc\x81": 2}',  # they look the same, and are two
    ],
)
def test_good_json_comes_out_as_any_parser_reads_it(body: bytes) -> None:
    assert parse_json(body) == orjson.loads(body)


@pytest.mark.parametrize(
    ("body", "pointer", "word"),
    [
        (b'{"a": [1, NaN]}', "/a/1", "finite"),
        (b'{"a": -Infinity}', "/a", "finite"),
        (b'{"a": 1e400}', "/a", "finite"),
        (b'{"a": "x\\u0000"}', "/a", "U+0000"),
        (b'{"a\\u0000": 1}', "/a\\u0000", "U+0000"),
        (b'{"a": {"b~/": "\\ud800"}}', "/a/b~0~1", "surrogate"),
        (b'{"\\udfff": 1}', "/\\udfff", "surrogate"),
        (b'{"a": 1, "b": 2, "a": 1}', "/a", "more than once"),
        (b'{"a": [{"b": {"c~": 1, "c~": 2}}]}', "/a/0/b/c~0", "more than once"),
        (b'{"a": 1, "\\u0061": 2}', "/a", "more than once"),
        (b'{"": 1, "": 2}', "/", "more than once"),
        (b'{"\xc3\xa9": 1, "\\u00e9": 2}', "/é", "more than once"),
        (b'{"a": 1180591620717411303424}', "/a", "64 bits"),
        (b'{"a": -9223372036854775809}', "/a", "64 bits"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "/a", "64 bits"),
        (b"[" * (DEEP + 1) + b"]" * (DEEP + 1), "", "levels"),
        (b"[" * 100_000, "", "levels"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "", "levels"),
    ],
)
def test_a_value_that_cannot_be_kept_is_named(body: bytes, pointer: str, word: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json(body)
    (issue,) = refused.value.issues
    assert issue.pointer == pointer
    assert word in issue.detail


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b"   ", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1}{', "not JSON"),
        (b"type=echo", "not JSON"),
        (b"[NaN," + b"[" * 100_000, "not JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b'"\xff"', "UTF-8"),
    ],
)
def test_what_is_not_json_says_why(body: bytes, word: str) -> None:
    with pytest.raises(NotJson) as refused:
        parse_json(body)
    assert word in str(refused.value)


def test_a_thousand_wrong_values_make_twenty_issues() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json(b"[" + b"NaN," * 1000 + b"NaN]")
    assert len(refused.value.issues) == 20
    assert refused.value.issues[0].pointer == "/0"


def test_a_pointer_is_text_that_any_encoder_can_write() -> None:
    assert pointer_to("a/b", 3, "~", "\x00", "\ud800") == "/a~1b/3/~0/\\u0000/\\ud800"
