"""What a context's calls raise besides what the handler does itself.

Left alone, these are terminal:

- `InvalidInput`: from `submit`, `call`, `artifact` and `generate`
- `TooLarge`: from `submit`, `call` and `artifact`, and from `http` for an answer over the limit
- `NotConfigured`: from `generate` without a key; on an isolated worker from every `generate`, `call`, `sleep`, `lock`
  and `artifact`
- `AddressRefused`: from `http`
- `StoreRefused`: from `artifact`
- `BudgetExceeded`, `ModelRefused` and `PriceUnknown`: from `generate`

Worth a retry are `QueueFull` (`submit`, `call`), `QuotaExceeded` (`submit`, when its limit frees), `Unavailable` (these
and `artifact`), and `ModelMalformed` and `ModelUnavailable` (`generate`).
"""

from orchestrator.domain.errors import (
    AddressRefused,
    BudgetExceeded,
    InvalidInput,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
    NotConfigured,
    PriceUnknown,
    QueueFull,
    QuotaExceeded,
    StoreRefused,
    TooLarge,
    Unavailable,
)

__all__ = [
    "AddressRefused",
    "BudgetExceeded",
    "InvalidInput",
    "ModelMalformed",
    "ModelRefused",
    "ModelUnavailable",
    "NotConfigured",
    "PriceUnknown",
    "QueueFull",
    "QuotaExceeded",
    "StoreRefused",
    "TooLarge",
    "Unavailable",
]  # fmt: skip
