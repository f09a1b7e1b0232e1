"""Everything else: what stands in the way of a request, a process, or an attempt."""

from orchestrator.domain.errors.base import AureaError


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


class QuotaExceeded(AureaError):
    code = "quota_exceeded"

    def __init__(self, limit: str, most: int, type_name: str | None, retry_after_seconds: int) -> None:
        """`limit` is its name in the profile; `type_name` that of the type whose own limit it is."""
        self.limit, self.most, self.type_name = limit, most, type_name
        self.retry_after_seconds = retry_after_seconds
        whose = "this tenant" if type_name is None else f"this tenant's type {type_name!r}"
        until = {
            "tasks_per_day": f"a new day begins in {retry_after_seconds} s, at midnight UTC",
            "queued": "a place is free again when a task begins or is cancelled",
        }
        reached = f"{whose} has reached its limit {limit} of {most}: {until[limit]}"
        super().__init__(reached if most else f"{whose} may create none: its limit {limit} is 0")


class RateLimited(AureaError):
    code = "rate_limited"

    def __init__(self, whose: str, per_minute: int, retry_after_seconds: int) -> None:
        self.whose, self.per_minute = whose, per_minute
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            f"this {whose} asks more than {per_minute} times a minute: try again in {retry_after_seconds} s"
        )


class Unauthorized(AureaError):
    code = "unauthorized"


class Forbidden(AureaError):
    code = "forbidden"

    def __init__(self, scope: str | None) -> None:
        """Without a scope: nobody may do it."""
        self.scope = scope
        super().__init__("this is open to nobody" if scope is None else f"this needs a token with the scope {scope}")


class SignatureRefused(AureaError):
    code = "signature_refused"


class SignatureForbidden(SignatureRefused):
    code = "signature_forbidden"


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


class SealBroken(AureaError):
    code = "seal_broken"

    def __init__(self, what: str, whose: str) -> None:
        super().__init__(
            f"the {what} of {whose} does not open: it was changed since it was sealed, or was sealed for another place"
        )


class SealKeyMissing(AureaError):
    code = "seal_key_missing"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"what is stored was sealed under the master key {key_id[:32]!r}, which this process does not have: "
            "add it to AUREA_ENCRYPTION_KEYS, behind the newest"
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
