"""What a call comes to whose tries have all failed: one clear error, terminal or worth a retry."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.errors import AureaError, BudgetExceeded, ModelMalformed, ModelRefused, ModelUnavailable
from orchestrator.models.breaker import REST_SECONDS
from orchestrator.models.chain import Candidate
from orchestrator.models.faults import Fault, Kind

_SENTENCES = {
    Kind.KEY: "{provider} does not accept the key in {variable} ({said})",
    Kind.PERMISSION: "{provider} does not let this key use {model} ({said})",
    Kind.MODEL: "{provider} has no model {model!r}: name another one, or set {setting} ({said})",
    Kind.CONTEXT: "the conversation is too long for {candidate} ({said})",
    Kind.CONTENT: "{candidate} refused to answer ({said})",
    Kind.LENGTH: "{candidate} was cut off ({said})",
    Kind.REQUEST: "{candidate} did not take the request ({said})",
}
FINAL = frozenset({Kind.CONTENT, Kind.CONTEXT, Kind.LENGTH})
"""These are about the request: nobody else is asked."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why one candidate did not answer: a fault, or an error of ours before it was asked."""

    candidate: Candidate
    cause: Fault | AureaError

    @property
    def passes(self) -> bool:
        return isinstance(self.cause, Fault) and self.cause.kind.passes


def verdict(troubles: Sequence[Trouble]) -> AureaError:
    """Return the error that a call ends with. `troubles` are those of its candidates, in order; at least one."""
    last = troubles[-1]
    if isinstance(last.cause, Fault) and last.cause.kind in FINAL:
        return _refused(last.candidate, last.cause)
    if any(trouble.passes for trouble in troubles):
        return _unavailable(troubles)
    short = next((trouble.cause for trouble in troubles if isinstance(trouble.cause, BudgetExceeded)), None)
    first = troubles[0]
    return short or (_refused(first.candidate, first.cause) if isinstance(first.cause, Fault) else first.cause)


def _refused(candidate: Candidate, fault: Fault) -> ModelRefused:
    sentence = _SENTENCES[fault.kind].format(
        provider=candidate.provider,
        model=candidate.model,
        candidate=candidate,
        variable=f"{candidate.provider.upper()}_API_KEY",
        setting=f"{candidate.provider.upper()}_MODEL",
        said=fault,
    )
    return ModelRefused(candidate.provider, candidate.model, fault.kind.value, sentence)


def _unavailable(troubles: Sequence[Trouble]) -> AureaError:
    """Worth a retry, when the first of those that may come back does so."""
    faults = [trouble.cause for trouble in troubles if isinstance(trouble.cause, Fault) and trouble.passes]
    told = "; ".join(f"{trouble.candidate}: {trouble.cause}" for trouble in troubles)
    if all(fault.kind is Kind.MALFORMED for fault in faults):
        return ModelMalformed(f"no usable answer: {told}")
    asked = [fault.retry_after_seconds for fault in faults if fault.retry_after_seconds is not None]
    if asked and len(asked) < len(faults):
        asked.append(REST_SECONDS)  # what a model that said nothing is given before it is asked again
    return ModelUnavailable(f"no model answered: {told}", min(asked, default=None))
