"""How long another side asks to be left alone: a number of seconds, or a date by its own clock."""

import pytest

from orchestrator.sdk import retry_after_seconds

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("37", 37.0),
        (" 1.5 ", 1.5),
        ("-3", 0.0),
        ("99999999999", 604_800.0),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 604_800.0),
        ("Thu, 01 Jan 2026 00:01:30 -0000", None),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_a_wait_is_a_number_or_a_date(asked: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": asked, "date": DATE}) == seconds


def test_without_a_clock_only_a_number_says_something() -> None:
    assert retry_after_seconds({"retry-after": "37"}) == 37.0
    for date in ({}, {"date": "today"}, {"date": "Thu, 01 Jan 2026 00:00:00 -0000"}):
        assert retry_after_seconds({"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT", **date}) is None


def test_an_answer_that_asks_nothing_says_nothing() -> None:
    assert retry_after_seconds({"date": DATE}) is None
