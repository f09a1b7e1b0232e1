"""Models and their money: what they refuse, what they cannot do now, and what the budget says."""

from datetime import datetime
from typing import Literal

from orchestrator.domain.errors.base import AureaError

MoneyScope = Literal["day", "tenant", "type", "task"]
_WHOSE = {
    "day": "the system's budget of today",
    "tenant": "the tenant's budget of today",
    "type": "the tenant's budget of today for tasks of type {type}",
    "task": "the task's limit",
}
_RAISED_BY = {
    "day": "; `aurea budget set USD --system` raises it",
    "tenant": "; `aurea budget set USD` raises it",
    "type": "; `aurea tenants set TENANT {type}.usd_per_day=USD` raises it",
    "task": "",
}


class BudgetExceeded(AureaError):
    """`resets_at` is when the next day begins; None for a task's own limit, which counts its whole life.

    `task_type` is named where the limit is that of a type of the tenant's tasks.
    """

    code = "budget_exceeded"

    def __init__(
        self,
        scope: MoneyScope,
        *,
        limit_usd: float,
        spent_usd: float,
        reserved_usd: float,
        asked_usd: float,
        resets_at: datetime | None,
        task_type: str | None = None,
    ) -> None:
        self.scope, self.resets_at, self.task_type = scope, resets_at, task_type
        self.limit_usd, self.asked_usd = limit_usd, asked_usd
        self.spent_usd, self.reserved_usd = spent_usd, reserved_usd
        anew = "" if resets_at is None else f"; it begins anew at {resets_at:%Y-%m-%dT%H:%M:%SZ}"
        whose, fix = (words[scope].replace("{type}", task_type or "") for words in (_WHOSE, _RAISED_BY))
        super().__init__(
            f"{whose} does not reach: of {_dollars(limit_usd)}, {_dollars(spent_usd)} is spent and "
            f"{_dollars(reserved_usd)} reserved, and the call may cost {_dollars(asked_usd)}{anew}{fix}"
        )


class BudgetUsed(AureaError):
    code = "budget_used"


class ModelRefused(AureaError):
    """`reason` is one of key, permission, model, content, length, context and request."""

    code = "model_refused"

    def __init__(self, provider: str, model: str, reason: str, message: str) -> None:
        self.provider, self.model, self.reason = provider, model, reason
        super().__init__(message)


class ModelMalformed(AureaError):
    code = "model_malformed"


class ModelUnavailable(AureaError):
    """`retry_after_seconds` is None where nobody said when to come back."""

    code = "model_unavailable"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class PriceUnknown(AureaError):
    code = "price_unknown"

    def __init__(self, provider: str, model: str) -> None:
        self.provider, self.model = provider, model
        super().__init__(
            f"what {provider}'s model {model!r} costs is not known, so no budget can hold it: "
            f'write its price into the file that AUREA_PRICES names, under [{provider}."{model}"]'
        )


def _dollars(usd: float) -> str:
    whole, _, part = f"{usd:,.9f}".partition(".")
    return f"${whole}.{part.rstrip('0').ljust(2, '0')}"
