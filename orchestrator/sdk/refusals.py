"""What a context's calls raise besides what the handler does itself.

Left alone, these are terminal: `AddressRefused` and `TooLarge` (from `ctx.http`), `InvalidInput` (`ctx.submit`,
`ctx.call`), `BudgetExceeded`, `ModelRefused`, `NotConfigured`, `PriceUnknown` (`ctx.generate`). Worth a retry are
`ModelMalformed`, `ModelUnavailable`, `QueueFull` and `Unavailable`.
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
    "TooLarge",
    "Unavailable",
]  # fmt: skip
