"""What a call comes to, and what the worker makes of it."""

from datetime import UTC, datetime

import pytest

from orchestrator.domain.errors import (
    AureaError,
    BudgetExceeded,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
    PriceUnknown,
)
from orchestrator.models.breaker import REST_SECONDS
from orchestrator.models.chain import Candidate
from orchestrator.models.faults import Fault, Kind
from orchestrator.models.verdict import Trouble, verdict
from orchestrator.sdk import Context, task
from orchestrator.worker.failure import judge

NAMES = ["anthropic", "openai", "gemini"]
SHORT = BudgetExceeded("day", limit_usd=1, spent_usd=1, reserved_usd=0, asked_usd=1, resets_at=None)


def of(*causes: Fault | AureaError) -> AureaError:
    return verdict([Trouble(Candidate(name, f"{name}-1"), cause) for name, cause in zip(NAMES, causes, strict=False)])


def passing(wait: float | None = None, kind: Kind = Kind.AWAY) -> Fault:
    return Fault(kind, "told", wait)


@pytest.mark.parametrize(
    ("waits", "retry_after"),
    [
        ([None], None),
        ([None, None], None),
        ([7], 7),
        ([70, 7, 700], 7),
        ([3600, None], REST_SECONDS),  # who said nothing may be back before
        ([None, 7], 7),
    ],
)
def test_the_wait_is_for_the_first_that_may_come_back(waits: list[float | None], retry_after: float | None):
    error = of(*map(passing, waits))
    assert isinstance(error, ModelUnavailable)
    assert error.retry_after_seconds == retry_after


def test_what_passes_decides_over_what_does_not():
    assert isinstance(of(Fault(Kind.KEY, "401"), passing()), ModelUnavailable)
    assert isinstance(of(SHORT, passing()), ModelUnavailable)
    assert of(Fault(Kind.KEY, "401"), SHORT) is SHORT
    assert isinstance(of(PriceUnknown("anthropic", "x"), Fault(Kind.MODEL, "404")), PriceUnknown)
    refused = of(Fault(Kind.MODEL, "404"), Fault(Kind.KEY, "401"))
    assert isinstance(refused, ModelRefused)
    assert refused.reason == "model"


def test_a_request_that_cannot_be_answered_decides_over_all():
    refused = of(passing(), Fault(Kind.CONTENT, "no"))
    assert isinstance(refused, ModelRefused)
    assert (refused.provider, refused.reason) == ("openai", "content")


def test_only_malformed_answers_are_called_so():
    assert isinstance(of(passing(kind=Kind.MALFORMED)), ModelMalformed)
    assert isinstance(of(passing(kind=Kind.MALFORMED), passing()), ModelUnavailable)


@task("ask")
async def ask_model(payload: dict, ctx: Context) -> None:
    """Asks."""


@pytest.mark.parametrize(
    ("error", "retryable", "wait"),
    [
        (of(Fault(Kind.KEY, "401")), False, None),
        (PriceUnknown("openai", "x"), False, None),
        (SHORT, False, None),
        (of(passing(7)), True, 7),
        (of(passing()), True, None),
        (of(passing(kind=Kind.MALFORMED)), True, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AureaError) else str(value),
)
def test_the_worker_knows_what_is_worth_a_retry(error: AureaError, retryable: bool, wait: float | None):
    failed = judge(error, ask_model, datetime(2026, 11, 20, tzinfo=UTC))
    assert failed.error.retryable is retryable
    assert failed.retry_after_seconds == wait
    assert failed.error.type == type(error).__name__
