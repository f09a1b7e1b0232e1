"""How an attempt ends: what its outcome makes of the task, the line that says so, and who hears of a dead letter."""

from orchestrator.domain.errors import DeadLetter
from orchestrator.domain.outcome import Outcome, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Settlement
from orchestrator.runtime import Runtime
from orchestrator.telemetry import logs

_DEFAULT_POLICY = RetryPolicy()


def end(runtime: Runtime, claim: Claim, outcome: Outcome, duration_us: int, progress: bytes | None) -> Settlement:
    """Decide and log; nothing is written yet."""
    handler = runtime.handlers.get(claim.entry.type)
    policy = handler.policy if handler is not None else _DEFAULT_POLICY
    ending = decide(claim, outcome, policy, runtime.clock.chance(), duration_us, progress)
    logs.note(
        "attempt_ended",
        "orchestrator.attempts",
        runtime.clock.now(),
        type=claim.entry.type,
        status=ending.state.value,
        attempt=claim.attempt,
        ms=duration_us // 1000,
    )
    return ending


def report(runtime: Runtime, ending: Settlement) -> None:
    """Send a task that has failed for good, once that is on record, where errors are reported."""
    if ending.state is State.FAILED and ending.error is not None:
        entry, error = ending.claim.entry, ending.error
        letter = DeadLetter(f"{entry.type}: {error.type}: {error.message}")
        runtime.reports.send(letter, task_id=entry.id, fingerprint=error.fingerprint)
