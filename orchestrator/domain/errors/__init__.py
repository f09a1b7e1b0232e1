"""Every error of ours, in one tree.

AureaError                      code
├── InvalidInput                invalid_input        what the caller sent does not fit; carries one issue per field
│   ├── NotJson                 not_json             a body that is not one JSON document in UTF-8
│   ├── InvalidId               invalid_id           an id that is not a UUID
│   ├── InvalidCursor           invalid_cursor       a page cursor this system did not issue
│   ├── UnknownType             unknown_type         no handler has this name; carries the known ones
│   └── KeyConflict             key_conflict         an idempotency key was used before with another body
├── TooLarge                    too_large            a body, payload or result over its limit
├── NotFound                    not_found            no such thing for this tenant
│   └── ArtifactMissing         artifact_missing     an artifact is on record, its bytes are not in the store
├── Conflict                    conflict             the state of the thing does not allow it
├── QueueFull                   queue_full           the queue holds MAX_QUEUE_DEPTH tasks
├── QuotaExceeded               quota_exceeded       a limit of the tenant is reached; carries which, and when it frees
├── RateLimited                 rate_limited         too many requests; carries when to ask again
├── BudgetExceeded              budget_exceeded      the money does not reach for what was asked; carries the figures
├── BudgetUsed                  budget_used          a day's budget is spent, or nearly; reported, never raised
├── ModelRefused                model_refused        a model, or its provider, said no for good; carries which and why
├── ModelMalformed              model_malformed      a model's answer does not fit what was asked for, even when told so
├── ModelUnavailable            model_unavailable    no model could answer now; carries when to ask again
├── PriceUnknown                price_unknown        nobody knows what a model costs; carries its name
├── Unauthorized                unauthorized         no token, or not a good one
├── Forbidden                   forbidden            a good token without the scope that is needed; carries the scope
├── SignatureRefused            signature_refused    a webhook whose signature does not match
│   └── SignatureForbidden      signature_forbidden  the same, for a sender that gives up for good on a 401
├── AddressRefused              address_refused      an outgoing request to an address that is not public
├── NotConfigured               not_configured       a variable has to be set first; carries its name
├── RedisEvicts                 redis_evicts         a Redis that throws keys away; carries its maxmemory-policy
├── SealBroken                  seal_broken          a sealed value was changed, or stands where it does not belong
├── SealKeyMissing              seal_key_missing     sealed under a master key that is not here; carries its id
├── StoreRefused                store_refused        the store of artifacts says no: somebody has to mend it
├── Unavailable                 unavailable          a dependency is away; carries its name, or both names
├── DeadLetter                  dead_letter          a task failed for good; reported, never raised
├── HandlerBroken               handler_broken       a handler module that cannot be loaded
├── NotStarted                  not_started          a server or part of the system that did not start; has its log
├── LeaseLost                   lease_lost           a newer fence exists: this attempt's writes change nothing
└── AttemptEnded                attempt_ended        a context was used after its attempt had ended

It knows no HTTP: `app/problems.py` maps each class to a status, and a test demands a row per class.
"""

from orchestrator.domain.errors.base import AureaError
from orchestrator.domain.errors.input import (
    InvalidCursor,
    InvalidId,
    InvalidInput,
    Issue,
    KeyConflict,
    NotJson,
    UnknownType,
)
from orchestrator.domain.errors.models import (
    BudgetExceeded,
    BudgetUsed,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
    MoneyScope,
    PriceUnknown,
)
from orchestrator.domain.errors.system import (
    AddressRefused,
    ArtifactMissing,
    AttemptEnded,
    Conflict,
    DeadLetter,
    Forbidden,
    HandlerBroken,
    LeaseLost,
    NotConfigured,
    NotFound,
    NotStarted,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    RedisEvicts,
    SealBroken,
    SealKeyMissing,
    SignatureForbidden,
    SignatureRefused,
    StoreRefused,
    TooLarge,
    Unauthorized,
    Unavailable,
)

__all__ = [
    "AddressRefused",
    "ArtifactMissing",
    "AttemptEnded",
    "AureaError",
    "BudgetExceeded",
    "BudgetUsed",
    "Conflict",
    "DeadLetter",
    "Forbidden",
    "HandlerBroken",
    "InvalidCursor",
    "InvalidId",
    "InvalidInput",
    "Issue",
    "KeyConflict",
    "LeaseLost",
    "ModelMalformed",
    "ModelRefused",
    "ModelUnavailable",
    "MoneyScope",
    "NotConfigured",
    "NotFound",
    "NotJson",
    "NotStarted",
    "PriceUnknown",
    "QueueFull",
    "QuotaExceeded",
    "RateLimited",
    "RedisEvicts",
    "SealBroken",
    "SealKeyMissing",
    "SignatureForbidden",
    "SignatureRefused",
    "StoreRefused",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnknownType",
]
