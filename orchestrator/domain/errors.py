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
├── BudgetExceeded              budget_exceeded      the money does not reach for what was asked; carries the figures
├── BudgetUsed                  budget_used          a day's budget is spent, or nearly; reported, never raised
├── ModelRefused                model_refused        a model, or its provider, said no for good; carries which and why
├── ModelMalformed              model_malformed      a model's answer does not fit what was asked for, even when told so
├── ModelUnavailable            model_unavailable    no model could answer now; carries when to ask again
├── PriceUnknown                price_unknown        nobody knows what a model costs; carries its name
├── Unauthorized                unauthorized         no token, or not a good one
├── SignatureRefused            signature_refused    a webhook whose signature does not match
├── AddressRefused              address_refused      an outgoing request to an address that is not public
├── NotConfigured               not_configured       a variable has to be set first; carries its name
├── RedisEvicts                 redis_evicts         a Redis that throws keys away; carries its maxmemory-policy
├── StoreRefused                store_refused        the store of artifacts says no: somebody has to mend it
├── Unavailable                 unavailable          a dependency is away; carries its name, or both names
├── DeadLetter                  dead_letter          a task failed for good; reported, never raised
├── HandlerBroken               handler_broken       a handler module that cannot be loaded
├── NotStarted                  not_started          a server or part of the system that did not start; has its log
├── LeaseLost                   lease_lost           a newer fence exists: this attempt's writes change nothing
└── AttemptEnded                attempt_ended        a context was used after its attempt had ended

It knows no HTTP: `app/problems.py` maps each class to a status, and a test demands a row per class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

MoneyScope = Literal["day", "tenant", "task"]
_WHOSE = {"day": "the system's budget of today", "tenant": "the tenant's budget of today", "task": "the task's limit"}


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with an input: where (a JSON pointer) and what to do about it."""

    pointer: str
    detail: str


def _dollars(usd: float) -> str:
    whole, _, part = f"{usd:,.9f}".partition(".")
    return f"${whole}.{part.rstrip('0').ljust(2, '0')}"


class AureaError(Exception):
    """Base of the tree; `code` is stable and public."""

    code = "internal"


class InvalidInput(AureaError):
    code = "invalid_input"

    def __init__(self, detail: str, issues: Sequence[Issue] = ()) -> None:
        super().__init__(detail)
        self.issues = tuple(issues)


class NotJson(InvalidInput):
    code = "not_json"


class InvalidId(InvalidInput):
    code = "invalid_id"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:64]!r} is not a UUID",
            [Issue("/id", "send the id as the system gave it, 36 characters long")],
        )


class InvalidCursor(InvalidInput):
    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__(
            "the cursor is not one of ours: send the next_cursor of the page before, unchanged",
            [Issue("/cursor", "send the next_cursor of the page before, or leave it out")],
        )


class UnknownType(InvalidInput):
    code = "unknown_type"

    def __init__(self, type_name: str, known: Sequence[str]) -> None:
        self.known = tuple(known)
        listed = ", ".join(self.known) or "none"
        super().__init__(
            f"no handler is called {type_name[:100]!r}; the known types are: {listed}",
            [Issue("/type", f"use one of: {listed}")],
        )


class KeyConflict(InvalidInput):
    code = "key_conflict"

    def __init__(self, key: str, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(
            f"the idempotency key {key!r} was used by task {task_id} with another body",
            [Issue("/idempotency_key", "use a new key for new work, or send the same body again")],
        )


class TooLarge(AureaError):
    code = "too_large"

    def __init__(self, what: str, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"{what} is larger than {limit_bytes} bytes")


class NotFound(AureaError):
    code = "not_found"


class ArtifactMissing(NotFound):
    code = "artifact_missing"

    def __init__(self, artifact_id: str, store: str) -> None:
        super().__init__(f"the artifact {artifact_id} is on record, but its bytes are no longer in {store}")


class Conflict(AureaError):
    code = "conflict"


class QueueFull(AureaError):
    code = "queue_full"

    def __init__(self, queue: str, limit: int, retry_after_seconds: int = 5) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"the queue {queue!r} holds its limit of {limit} tasks; try again later")


class BudgetExceeded(AureaError):
    """`resets_at` is when the next day begins; None for a task's own limit, which counts its whole life."""

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
    ) -> None:
        self.scope, self.resets_at = scope, resets_at
        self.limit_usd, self.asked_usd = limit_usd, asked_usd
        self.spent_usd, self.reserved_usd = spent_usd, reserved_usd
        anew = "" if resets_at is None else f"; it begins anew at {resets_at:%Y-%m-%dT%H:%M:%SZ}"
        super().__init__(
            f"{_WHOSE[scope]} does not reach: of {_dollars(limit_usd)}, {_dollars(spent_usd)} is spent and "
            f"{_dollars(reserved_usd)} reserved, and the call may cost {_dollars(asked_usd)}{anew}"
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


class Unauthorized(AureaError):
    code = "unauthorized"


class SignatureRefused(AureaError):
    code = "signature_refused"


class AddressRefused(AureaError):
    code = "address_refused"

    def __init__(self, host: str, reason: str) -> None:
        self.host = host
        super().__init__(
            f"{host} {reason}; if requests to it are meant, add {host} to AUREA_ALLOW_PRIVATE_HOSTS of the workers"
        )


class NotConfigured(AureaError):
    code = "not_configured"

    def __init__(self, variable: str, purpose: str) -> None:
        self.variable = variable
        super().__init__(f"set {variable} {purpose}")


class RedisEvicts(AureaError):
    code = "redis_evicts"

    def __init__(self, policy: str) -> None:
        self.policy = policy
        super().__init__(
            f"this Redis throws keys away when its memory is full (maxmemory-policy {policy}), and tasks with them: "
            "set `maxmemory-policy noeviction`"
        )


class StoreRefused(AureaError):
    """Wrong keys, no permission, no such bucket: the same again gets the same answer."""

    code = "store_refused"

    def __init__(self, store: str, reason: str) -> None:
        self.store = store
        super().__init__(f"{store} refused: {reason}")


class Unavailable(AureaError):
    """`dependency` is "postgres", "redis", "postgres and redis" or the store of artifacts by its name.

    It may have acted all the same.
    """

    code = "unavailable"

    def __init__(self, dependency: str, retry_after_seconds: int = 2) -> None:
        self.dependency = dependency
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{dependency} cannot be used now")


class DeadLetter(AureaError):
    code = "dead_letter"


class HandlerBroken(AureaError):
    code = "handler_broken"


class NotStarted(AureaError):
    code = "not_started"


class LeaseLost(AureaError):
    code = "lease_lost"

    def __init__(self, task_id: str, fence: int) -> None:
        super().__init__(f"the attempt {fence} of task {task_id} lost its lease: a newer one decides")


class AttemptEnded(AureaError):
    code = "attempt_ended"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"this attempt of task {task_id} has ended: its context writes nothing any more")
