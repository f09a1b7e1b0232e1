"""The breaker: who fails again and again is left alone, tried once, and asked again."""

import pytest

from orchestrator.models.breaker import FAILURES, REST_SECONDS, Breaker
from orchestrator.models.chain import Candidate
from orchestrator.models.faults import Fault, Kind
from orchestrator.testing import FakeClock

CLAUDE, GPT = Candidate("anthropic", "claude"), Candidate("openai", "gpt")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(clock)


def passes(breaker: Breaker, candidate: Candidate = CLAUDE) -> bool:
    with breaker.turn(candidate):
        return True


def fails(breaker: Breaker, kind: Kind = Kind.AWAY, wait: float | None = None) -> None:
    with pytest.raises(Fault), breaker.turn(CLAUDE):
        raise Fault(kind, "told", wait)


def resting(breaker: Breaker) -> float:
    with pytest.raises(Fault) as refused, breaker.turn(CLAUDE):
        pytest.fail("it was let through")
    assert refused.value.kind is Kind.RESTING
    assert refused.value.retry_after_seconds is not None
    return refused.value.retry_after_seconds


@pytest.mark.parametrize("kind", [Kind.AWAY, Kind.SILENT, Kind.BROKEN, Kind.LIMITED])
def test_failures_in_a_row_open_it_for_that_model_alone(breaker: Breaker, clock: FakeClock, kind: Kind):
    for _ in range(FAILURES):
        fails(breaker, kind)
    assert resting(breaker) == REST_SECONDS
    clock.advance(10)
    assert resting(breaker) == REST_SECONDS - 10
    assert passes(breaker, GPT)


def test_a_success_in_between_begins_the_count_anew(breaker: Breaker):
    for _ in range(3):
        for _ in range(FAILURES - 1):
            fails(breaker)
        assert passes(breaker)


@pytest.mark.parametrize("kind", [Kind.KEY, Kind.REQUEST, Kind.CONTENT, Kind.MALFORMED])
def test_an_answer_that_refuses_is_no_failure(breaker: Breaker, kind: Kind):
    for _ in range(FAILURES * 2):
        fails(breaker, kind)
    assert passes(breaker)


def test_after_the_rest_one_try_goes_through_and_closes_it(breaker: Breaker, clock: FakeClock):
    for _ in range(FAILURES):
        fails(breaker)
    clock.advance(REST_SECONDS)
    with breaker.turn(CLAUDE):
        assert 0 < resting(breaker) < REST_SECONDS
    assert passes(breaker)


def test_others_may_ask_as_soon_as_the_try_is_answered(breaker: Breaker, clock: FakeClock):
    for _ in range(FAILURES):
        fails(breaker)
    clock.advance(REST_SECONDS)
    with breaker.turn(CLAUDE) as begun:
        resting(breaker)
        begun()
        assert passes(breaker)


def test_a_request_with_little_time_says_nothing(breaker: Breaker):
    for _ in range(FAILURES - 1):
        fails(breaker)
    for _ in range(FAILURES):
        fails(breaker, Kind.SLOW)
    fails(breaker)
    assert resting(breaker) == REST_SECONDS


def test_a_try_that_fails_opens_it_anew(breaker: Breaker, clock: FakeClock):
    for _ in range(FAILURES):
        fails(breaker)
    clock.advance(REST_SECONDS)
    fails(breaker)
    assert resting(breaker) == REST_SECONDS


def test_a_try_that_was_given_up_leaves_room_for_another(breaker: Breaker, clock: FakeClock):
    for _ in range(FAILURES):
        fails(breaker)
    clock.advance(REST_SECONDS)
    with pytest.raises(KeyboardInterrupt), breaker.turn(CLAUDE):
        raise KeyboardInterrupt
    assert passes(breaker)


def test_what_a_provider_asked_for_holds_whatever_else_succeeds(breaker: Breaker, clock: FakeClock):
    with breaker.turn(CLAUDE):
        fails(breaker, Kind.LIMITED, 7)
    assert resting(breaker) == 7
    clock.advance(7)
    assert passes(breaker)
