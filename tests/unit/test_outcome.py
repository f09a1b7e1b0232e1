"""What becomes of a task at the end of an attempt: the whole retry policy, without a store."""

import pytest

from orchestrator.domain.ids import DEFAULT_TENANT, Fence, TaskId, WorkerId
from orchestrator.domain.outcome import Crashed, Expired, Failed, Outcome, Released, Succeeded, Unbegun, Unfit, decide
from orchestrator.domain.retry import RetryPolicy, backoff
from orchestrator.domain.states import TRANSITIONS, RunStatus, State
from orchestrator.domain.task import Claim, Entry, TaskError

POLICY = RetryPolicy(max_retries=2, base_seconds=2.0, cap_seconds=10.0)
BROKEN = TaskError("Boom", "it broke", retryable=True, fingerprint="f")
REFUSED = TaskError("No", "never", retryable=False, fingerprint="g")


def claim(attempt: int = 1, crashes: int = 0) -> Claim:
    entry = Entry(
        TaskId("01997c0e-0000-7000-8000-000000000000"), DEFAULT_TENANT, "nap", "default", 5, b"{}", 2, 60.0,
        "00-0-0-00", attempt - 1, crashes,
    )  # fmt: skip
    return Claim(entry, Fence(7), attempt, WorkerId("w"), 0, 0, settled_epoch=True)


@pytest.mark.parametrize(
    ("attempt", "crashes", "outcome", "state", "counted"),
    [
        (1, 0, Succeeded(b"1"), State.SUCCEEDED, 1),
        (1, 0, Failed(BROKEN), State.RETRYING, 1),
        (2, 0, Failed(BROKEN), State.RETRYING, 2),
        (3, 0, Failed(BROKEN), State.FAILED, 3),
        (3, 1, Failed(BROKEN), State.RETRYING, 3),  # a crash uses up no retry
        (1, 0, Failed(REFUSED), State.FAILED, 1),
        (2, 0, Released(), State.QUEUED, 1),
        (2, 0, Unfit(BROKEN, 30.0), State.RETRYING, 1),
        (2, 0, Unbegun(), State.QUEUED, 1),
        (1, 0, Crashed(), State.QUEUED, 1),
        (3, 2, Crashed(), State.QUEUED, 3),  # perhaps it only waited for its turn
        (3, 2, Crashed(begun=True), State.FAILED, 3),
        (10, 9, Crashed(), State.FAILED, 10),
        (1, 0, Expired(), State.EXPIRED, 0),
    ],
)
def test_every_ending_leads_to_its_state(
    attempt: int, crashes: int, outcome: Outcome, state: State, counted: int
) -> None:
    ending = decide(claim(attempt, crashes), outcome, POLICY, chance=0.5)
    assert (ending.state, ending.attempt) == (state, counted)
    before = State.QUEUED if isinstance(outcome, Expired) else State.RUNNING
    assert ending.state in TRANSITIONS[before]


def test_the_third_crash_is_marked_poison() -> None:
    ending = decide(claim(3, 2), Crashed(begun=True), POLICY, chance=0.5)
    assert ending.error is not None
    assert (ending.error.type, ending.crashes, ending.run_status) == ("poison", 3, RunStatus.CRASHED)


def test_backoff_doubles_up_to_its_cap_and_chance_spreads_it_over_all_of_it() -> None:
    assert [backoff(POLICY, failures, 0.999999) for failures in (1, 2, 3, 4, 99)] == pytest.approx(
        [2, 4, 8, 10, 10], rel=1e-5
    )
    assert backoff(POLICY, 3, 0.0) == 0.0


def test_when_the_other_side_says_when_it_is_obeyed() -> None:
    ending = decide(claim(), Failed(BROKEN, retry_after_seconds=17), POLICY, chance=0.5)
    assert ending.delay_us == 17_000_000
