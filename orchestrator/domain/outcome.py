"""What an attempt came to, and what the task becomes of it.

`decide` is the whole retry policy: a pure function from a claim and an outcome to a settlement.
"""

from dataclasses import dataclass, replace

from orchestrator.domain.retry import MAX_CRASHES, MOST_CRASHES, RetryPolicy, backoff
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.steps import Wait
from orchestrator.domain.task import Claim, Settlement, TaskError


@dataclass(frozen=True, slots=True)
class Succeeded:
    result: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class Failed:
    error: TaskError
    retry_after_seconds: float | None = None
    """The other side, or the handler, said when; taken as it is, without jitter."""


@dataclass(frozen=True, slots=True)
class Released:
    """The worker leaves and gives the task back: the attempt does not count."""


@dataclass(frozen=True, slots=True)
class Parked:
    """The handler waits, and holds no worker meanwhile."""

    wait: Wait


@dataclass(frozen=True, slots=True)
class Unbegun:
    """It was claimed ahead and given back before its turn came."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """This worker cannot run it, another may: the attempt does not count, and the task waits a while."""

    error: TaskError
    retry_after_seconds: float


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker vanished: its lease ran out. `begun`: the handler had begun for certain.

    The task's own process died, or the attempt was on record as running. Without it a worker may have died before
    the handler's turn came.
    """

    begun: bool = False


@dataclass(frozen=True, slots=True)
class Expired:
    """The task was not started before its `expires_at`."""


Outcome = Succeeded | Failed | Parked | Released | Unbegun | Unfit | Crashed | Expired


def decide(
    claim: Claim,
    outcome: Outcome,
    policy: RetryPolicy,
    chance: float,
    duration_us: int = 0,
    progress: bytes | None = None,
) -> Settlement:
    """Return what is to be written. `policy.max_retries` bounds failures; crashes have their own bound."""
    crashes = claim.entry.crashes
    counted = Settlement(
        claim, State.SUCCEEDED, RunStatus.SUCCEEDED, claim.attempt, crashes, duration_us, progress=progress
    )
    if isinstance(outcome, Succeeded):
        counted.result = outcome.result
        return counted
    not_begun = Settlement(claim, State.QUEUED, None, claim.attempt - 1, crashes, duration_us)
    match outcome:
        case Released():
            begun = replace(
                claim, entry=replace(claim.entry, expires_at_us=None)
            )  # it has started, and does not expire
            given_back = replace(counted, claim=begun, attempt=claim.attempt - 1)
            return replace(given_back, state=State.QUEUED, run_status=RunStatus.RELEASED)
        case Parked(wait):
            return replace(counted, state=State.WAITING, run_status=RunStatus.PARKED, wait=wait)
        case Unbegun():
            return not_begun
        case Unfit(error, wait_seconds):
            return replace(not_begun, state=State.RETRYING, delay_us=int(wait_seconds * 1e6), error=error)
        case Expired():
            return replace(not_begun, state=State.EXPIRED)
        case Crashed(begun):
            return _crashed(claim, crashes + 1, begun)
        case Failed(error, after_seconds):
            failed = replace(counted, state=State.FAILED, run_status=RunStatus.FAILED, error=error)
            failures = claim.attempt - crashes
            if not error.retryable or failures > claim.entry.max_retries:
                return failed
            delay = after_seconds if after_seconds is not None else backoff(policy, failures, chance)
            return replace(failed, state=State.RETRYING, delay_us=max(0, int(delay * 1e6)))


def _crashed(claim: Claim, crashes: int, begun: bool) -> Settlement:
    poison = crashes >= (MAX_CRASHES if begun else MOST_CRASHES)
    error = TaskError(
        type="poison" if poison else "crashed",
        message=f"its worker vanished {'while it ran' if begun else 'before it was seen to run'}, crash {crashes}",
        retryable=not poison,
        fingerprint=f"poison:{claim.entry.type}" if poison else f"crashed:{claim.entry.type}",
    )
    return Settlement(
        claim,
        State.FAILED if poison else State.QUEUED,
        RunStatus.CRASHED,
        claim.attempt,
        crashes,
        duration_us=0,
        error=error,
    )


def unstorable(ending: Settlement, reason: str) -> Settlement:
    """Return what is written in place of an ending whose result the ledger will never take."""
    cause = TaskError(
        type="ResultNotStorable",
        message=f"Postgres cannot store the result: {reason[:500]}",
        retryable=False,
        fingerprint=f"unstorable:{ending.claim.entry.type}",
    )
    return replace(
        ending, state=State.FAILED, run_status=RunStatus.FAILED, result=None, progress=None, delay_us=None, error=cause
    )
