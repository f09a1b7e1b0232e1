"""The rule of rates, against a count of everything that passed; and the script that decides by it, against the rule."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.rate import MINUTE_US, Meter, Rate, judge

GAPS = st.lists(st.sampled_from([0, 1, 1_000, 900_000, 5_000_000, 31_000_000, 120_000_000]), max_size=60)


@given(gaps=GAPS, per_minute=st.sampled_from([1, 2, 7, 60]))
def test_in_no_minute_pass_more_than_twice_the_limit_and_at_once_just_the_limit(
    gaps: list[int], per_minute: int
) -> None:
    meter, now, passed = Meter(), 1_763_600_000_000_000, []
    for gap in gaps:
        now += gap
        if meter.admit([Rate("tenant", "t", per_minute)], now)[0]:
            passed.append(now)
    for first in passed:
        assert sum(first <= moment < first + MINUTE_US for moment in passed) <= 2 * per_minute
        assert passed.count(first) <= per_minute


@given(gaps=GAPS, per_minute=st.integers(1, 90))
def test_who_waits_as_long_as_he_is_told_passes_and_who_waits_less_does_not(gaps: list[int], per_minute: int) -> None:
    rate, due, now = Rate("tenant", "t", per_minute), 0, 1_763_600_000_000_000
    for gap in [*gaps, *[0] * per_minute, 0]:
        now += gap
        passes, (verdict,), (due,) = judge([rate], [due], now)
        assert passes is (verdict.retry_us == 0)
        assert 0 <= verdict.left < per_minute or not passes
        if not passes:
            assert judge([rate], [due], now + verdict.retry_us)[0]
            assert not judge([rate], [due], now + verdict.retry_us - 1)[0]
            assert verdict.left == 0
    assert not passes


def test_a_request_that_one_rate_refuses_counts_against_none() -> None:
    meter, tight, wide = Meter(), Rate("principal", "p", 1), Rate("tenant", "t", 10)
    assert meter.admit([tight, wide], 1)[0]
    for _ in range(20):
        passes, verdicts = meter.admit([tight, wide], 2)
        assert not passes
        assert [verdict.retry_us > 0 for verdict in verdicts] == [True, False]
    assert sum(meter.admit([wide], 3)[0] for _ in range(20)) == 9
