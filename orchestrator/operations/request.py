"""What a caller may ask for: one task, as every door (HTTP, webhooks, handlers) hands it in.

The model checks shapes and ranges; `accept` checks what needs the handlers and the time of day, and fills in
the defaults: the request's own value, else the handler's, else the system's.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.domain.delivery import PROCESSOR, RESERVED, Arrival
from orchestrator.domain.errors import InvalidInput, Issue, TooLarge, UnknownType
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.priority import DEFAULT, LOWEST, MOST_URGENT
from orchestrator.domain.subscription import DELIVER, DELIVERIES
from orchestrator.domain.task import DEFAULT_QUEUE, NewTask
from orchestrator.domain.trim import trimmed
from orchestrator.egress.destination import check_destination, refusal
from orchestrator.runtime import Runtime

_FARTHEST = timedelta(days=3650)
_FARTHEST_SECONDS = _FARTHEST.total_seconds()

QueueName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
NO_NUL = r"^[^\x00]*$"  # Postgres keeps no text with one
TypeName = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]
"""What may be the name of a type, known or not."""
TagKey = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]
TagValue = Annotated[str, Field(max_length=256, pattern=NO_NUL)]


def _read_moment(value: object) -> datetime:
    """Take an RFC 3339 time, or an aware datetime, to UTC. A number is refused: it could be seconds or milliseconds."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    raise ValueError("must be a time in RFC 3339 with its offset from UTC, as in 2026-11-20T09:00:00Z")


Moment = Annotated[datetime, BeforeValidator(_read_moment)]
Destination = Annotated[str, AfterValidator(check_destination)]
"""A URL that is told of something; `check_reach` says whether it may be called."""


class TaskRequest(BaseModel):
    """A task to create. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Annotated[str, Field(min_length=1, max_length=100)]
    payload: Any = Field(default_factory=dict)
    priority: Annotated[int, Field(ge=MOST_URGENT, le=LOWEST)] | None = None
    queue: QueueName | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255, pattern=NO_NUL)] | None = None
    key_lifetime: Literal["forever", "until_final"] | Annotated[int, Field(ge=1, le=_FARTHEST_SECONDS)] = "forever"
    run_at: Moment | None = None
    delay_seconds: Annotated[float, Field(ge=0, le=_FARTHEST_SECONDS, allow_inf_nan=False)] | None = None
    expires_at: Moment | None = None
    max_retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=_FARTHEST_SECONDS, allow_inf_nan=False)] | None = None
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=32)] = Field(default_factory=dict)
    callback_url: Destination | None = None
    """Told of the final state, each time the task comes to one."""


_MADE_BY_US = {
    DELIVER: "give a task a callback_url, or subscribe with POST /subscriptions",
    PROCESSOR: "have the sender sign its webhook, POST /webhooks/{source}",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """On whose behalf a task is created, under which trace, and through which door."""

    tenant: Tenant
    traceparent: str | None = None
    parent_id: TaskId | None = None
    most_payload_bytes: int | None = None
    """The limit of a door that has one of its own; None is the system's."""
    always: bool = False
    """Accepted into a full queue too: what comes in by a webhook would not come again."""
    child_id: TaskId | None = None
    """The id that a parent keeps for a task it calls, and waits for."""
    arrival: Arrival | None = None
    """Of the webhook delivery that becomes this task."""
    own: bool = False
    """Made by the system itself: of a type that nobody may ask for."""


def accept(runtime: Runtime, request: TaskRequest, origin: Origin) -> NewTask:
    """Turn a request into a task that can be stored.

    Raises UnknownType, InvalidInput (each issue with its pointer) or TooLarge; nothing was stored then.
    """
    handler = runtime.handlers.get(request.type)
    if handler is None:
        raise UnknownType(request.type, runtime.handlers.known())
    _check_ours(request, origin)
    if request.callback_url is not None:
        runtime.signer.check()
        check_reach(runtime, request.callback_url, "/callback_url")
    payload = _encoded(request.payload, origin.most_payload_bytes or runtime.limits.max_body_bytes)
    value = handler.decode(payload)
    if handler.check is not None:
        handler.examine(value, runtime.handlers)
    created_at = runtime.clock.stamp()
    run_at = request.run_at
    if run_at is not None or request.delay_seconds is not None or request.expires_at is not None:
        run_at = _due(request, created_at)
    key, lifetime, limits = request.idempotency_key, request.key_lifetime, runtime.limits
    fingerprint = b"" if key is None else runtime.vault.seal_fingerprint(origin.tenant, key, _fingerprint(request))
    key_expires_at = created_at + timedelta(seconds=lifetime) if isinstance(lifetime, int) else None
    task_id, queue = origin.child_id or runtime.clock.task_id(), request.queue or handler.queue or DEFAULT_QUEUE
    traceparent = runtime.traces.send(task_id, queue, origin.traceparent) or runtime.clock.traceparent()
    priority = _chosen(request.priority, handler.priority, DEFAULT)
    max_retries = _chosen(request.max_retries, handler.max_retries, limits.max_retries)
    timeout_seconds = request.timeout_seconds or handler.timeout_seconds or limits.timeout_seconds
    # By position: naming so many takes three times as long.
    return NewTask(
        task_id, origin.tenant, request.type, payload, fingerprint, created_at, traceparent, queue, priority,
        max_retries, timeout_seconds, key, lifetime == "until_final", key_expires_at, run_at, request.expires_at,
        request.tags, origin.parent_id, origin.always,
        # It may have been called before by an attempt that died.
        asked_again=origin.child_id is not None, called=origin.child_id is not None,
        arrival=origin.arrival,
        callback_url=request.callback_url,
    )  # fmt: skip


def _check_ours(request: TaskRequest, origin: Origin) -> None:
    """Raise InvalidInput for what the system alone makes: its types, its queue, and keys that belong to webhooks."""
    ours = origin.own or origin.arrival is not None
    if request.type in _MADE_BY_US and not ours:
        fix = f"is made by the system alone: {_MADE_BY_US[request.type]}"
        raise InvalidInput(f"a task of the type {request.type} {fix}", [Issue("/type", fix)])
    if request.queue == DELIVERIES and not ours:
        fix = "is kept for webhooks that go out: choose another"
        raise InvalidInput(f"the queue {DELIVERIES} {fix}", [Issue("/queue", fix)])
    key = request.idempotency_key or ""
    if key.startswith(RESERVED) and not ours and origin.parent_id is None:
        fix = f"begins with {RESERVED}, which is kept for webhooks: choose another"
        raise InvalidInput(f"the idempotency key {fix}", [Issue("/idempotency_key", fix)])


def check_reach(runtime: Runtime, url: str, pointer: str) -> None:
    """Raises InvalidInput for a URL whose host will never be called."""
    reason = refusal(url, runtime.private_hosts)
    if reason is not None:
        raise InvalidInput(f"{pointer} cannot be called: {reason}", [Issue(pointer, reason)])


def _chosen(asked: int | None, usual: int | None, default: int) -> int:
    """The request's own value, else the handler's, else the system's; 0 is a value."""
    if asked is not None:
        return asked
    return default if usual is None else usual


def _encoded(payload: Any, most_bytes: int) -> bytes:
    try:
        text = trimmed(orjson.dumps(payload))
    except TypeError as error:
        raise InvalidInput(f"a payload has to be JSON: {error}", [Issue("/payload", str(error))]) from None
    if len(text) > most_bytes:
        raise TooLarge("the payload", most_bytes)
    return text


def _due(request: TaskRequest, now: datetime) -> datetime | None:
    """Return when the task is due, None for now. Raises InvalidInput for times that make no sense."""
    issues: list[Issue] = []
    run_at = request.run_at
    if run_at is not None and request.delay_seconds is not None:
        issues.append(Issue("/delay_seconds", "send run_at or delay_seconds, not both"))
    if request.delay_seconds is not None:
        run_at = now + timedelta(seconds=request.delay_seconds)
    if run_at is not None and run_at > now + _FARTHEST:
        issues.append(Issue("/run_at", "choose a moment within the next ten years"))
    if run_at is not None and run_at <= now:
        run_at = None
    if request.expires_at is not None and request.expires_at <= (run_at or now):
        issues.append(Issue("/expires_at", "choose a moment that lies in the future and after run_at"))
    if issues:
        listed = "; ".join(f"{issue.pointer}: {issue.detail}" for issue in issues)
        raise InvalidInput(f"the times of the request do not fit: {listed}", issues)
    return run_at


def _fingerprint(request: TaskRequest) -> bytes:
    """Hash everything the caller asked for but the key itself; the order of object keys does not count."""
    asked = request.model_dump(mode="json", exclude={"idempotency_key"}, exclude_unset=True)
    return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()
