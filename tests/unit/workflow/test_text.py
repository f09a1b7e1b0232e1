"""Workflows as text: what YAML and JSON come to, and the walls around them."""

import pytest

from orchestrator.domain.workflow.text import MAX_BYTES, BadText, read_text

NESTED_FLOW = "[" * 40 + "]" * 40
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdef", "bcdefg", strict=True)
)


def test_yaml_is_read_as_the_json_it_means() -> None:
    text = """
name: "quoted: 12"
on: yes
at: 12:30:00
day: 2026-11-20
count: 3
ratio: -1.5e3
octal: 0o17
nothing: ~
empty:
flags: [true, False]
block: |
  two
  lines
1: one
"""
    assert read_text(text).value == {
        "name": "quoted: 12",
        "on": "yes",
        "at": "12:30:00",
        "day": "2026-11-20",
        "count": 3,
        "ratio": -1500.0,
        "octal": "0o17",
        "nothing": None,
        "empty": None,
        "flags": [True, False],
        "block": "two\nlines\n",
        "1": "one",
    }


def test_json_is_read_as_json_and_braces_may_be_yaml_too() -> None:
    assert read_text('{"a": [1, 2.5, null, "\\u00e9"]}').value == {"a": [1, 2.5, None, "é"]}
    assert read_text("{a: [1, b]}").value == {"a": [1, "b"]}
    assert read_text("").value is None


def test_every_place_knows_its_line() -> None:
    lines = read_text("steps:\n  - id: a\n    with:\n      a/b: 1\n\n  - id: b\n").lines
    assert lines == {
        "": 1, "/steps": 1, "/steps/0": 2, "/steps/0/id": 2, "/steps/0/with": 3, "/steps/0/with/a~1b": 4,
        "/steps/1": 6, "/steps/1/id": 6,
    }  # fmt: skip


def test_an_anchor_may_be_used_again() -> None:
    text = "limits: &l {retry: 2}\nsteps: [*l, *l]"
    assert read_text(text).value == {"limits": {"retry": 2}, "steps": [{"retry": 2}, {"retry": 2}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2", "line 2: is not YAML"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("a: 1\na: 2", "line 2: the key 'a' is given twice"),
        ("[a]: 1\n? {b: 1}\n: 2", "a key has to be a text"),
        ("a: &x {b: 1}\nc: {<<: *x}", "line 2: the merge key"),
        ("a: !!python/object/apply:os.system [ls]", "the tag !!python/object/apply:os.system"),
        ("a: !!binary aGk=", "the tag !!binary"),
        ("a: !secret x", "the tag !secret"),
        ("a: *nowhere", "line 1: is not YAML"),
        ("a: &a [*a]", "more than 32"),
        (NESTED_FLOW, "line 1: has more than 32 values inside one another"),
        ('{"a": ' + NESTED_FLOW + "}", "more than 32 inside"),
        (BOMB, "more than 10000 values, aliases counted"),
        ("a: [" + "1," * 10_001 + "]", "more than 10000 values"),
        ("a: .inf", "quote it"),
        ("a: 1e999", "quote it"),
        ("a: " + "9" * 40, "quote it"),
        ('a: "\\0"', "NUL"),
        ('"\\0": a', "NUL"),
        ('{"a": "\\u0000"}', "NUL"),
        ("a: \x07", "is not YAML"),
        ("x" * (MAX_BYTES + 1), f"longer than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_not_json_or_grows_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadText) as refused:
        read_text(text)
    assert words in str(refused.value)
