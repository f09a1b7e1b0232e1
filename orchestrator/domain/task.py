"""A task as data: what is submitted, what is claimed, what is written at an ending, what is read.

JSON values travel as the bytes they were sent in: nothing between the caller and the handler parses a
payload twice. Times are aware datetimes; `*_us` are microseconds since 1970 by the store's clock.

What is made for every task is not declared frozen, although nothing changes it: making a frozen one takes three times
as long.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.domain.delivery import Arrival
from orchestrator.domain.ids import Fence, TaskId, Tenant, WorkerId
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.steps import Wait

DEFAULT_QUEUE = "default"


@dataclass(slots=True)
class NewTask:
    """A task that was checked and is about to be stored."""

    id: TaskId
    tenant: Tenant
    type: str
    payload: bytes
    fingerprint: bytes
    """SHA-256 of the request's canonical JSON, sealed if the tenant's values are; tells a repeat from another body."""
    created_at: datetime
    traceparent: str
    queue: str = DEFAULT_QUEUE
    priority: int = 5
    max_retries: int = 6
    timeout_seconds: float = 900.0
    idempotency_key: str | None = None
    key_until_final: bool = False
    key_expires_at: datetime | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)
    parent_id: TaskId | None = None
    always: bool = False
    """Accepted into a full queue too."""
    asked_again: bool = False
    """An earlier try may have been kept under this id, and may have run."""
    called: bool = False
    """Its parent waits for its end."""
    arrival: Arrival | None = None
    """Of the webhook delivery that it processes; put on record together with it."""
    callback_url: str | None = None
    """Is told of its final state."""

    @property
    def state(self) -> State:
        return State.QUEUED if self.run_at is None else State.SCHEDULED


@dataclass(slots=True)
class Entry:
    """What the queue holds of a task: all that a worker needs to run it."""

    id: TaskId
    tenant: Tenant
    type: str
    queue: str
    priority: int
    payload: bytes
    max_retries: int
    timeout_seconds: float
    traceparent: str
    attempt: int = 0
    crashes: int = 0
    ready_at_us: int | None = None
    """None: now, by the queue's clock. In the past or future: that moment, for rebuilt or delayed tasks."""
    expires_at_us: int | None = None
    retrying: bool = False
    """A delayed entry waits as `retrying` rather than `scheduled`."""
    called: bool = False
    """Its parent is to be woken when it ends."""
    restored: bool = False
    """Put back from Postgres, where it is checked once more before it starts; it counts to no epoch."""


@dataclass(slots=True)
class Claim:
    """A lease on one task: the right to run it once, and the fence every write of that run carries."""

    entry: Entry
    fence: Fence
    attempt: int
    """This attempt's number; the first is 1."""
    worker: WorkerId
    claimed_at_us: int
    waited_us: int
    """From ready to claimed."""
    settled_epoch: bool
    """False when the entry was put in the queue under an earlier epoch: Postgres is asked before it runs."""
    expired: bool = False
    """Its `expires_at` passed before it ever started: it is not run."""
    lost: Fence | None = None
    """The fence of the lease that ran out, when this claim takes it over; that run is what is settled then."""

    @property
    def run_fence(self) -> Fence:
        """The fence that names the run in the history: the lost one's after a take-over, else this claim's."""
        return self.fence if self.lost is None else self.lost


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why an attempt failed, as users see it."""

    type: str
    message: str
    retryable: bool
    fingerprint: str
    """Equal for failures with the same cause: dead letters are grouped by it."""


@dataclass(slots=True)
class Settlement:
    """The ending of one attempt, decided and not yet written."""

    claim: Claim
    state: State
    run_status: RunStatus | None
    """None when the attempt never began: no run is recorded."""
    attempt: int
    """What the task's attempt counter becomes: one less than the claim's when the run does not count."""
    crashes: int
    duration_us: int
    delay_us: int | None = None
    """Until the next attempt, when the state is retrying; None otherwise."""
    result: bytes | None = None
    error: TaskError | None = None
    progress: bytes | None = None
    wait: Wait | None = None
    """What a task waits for that is parked."""


@dataclass(slots=True)
class Task:
    """A task as it is read: the row, with the live state laid over it when that is newer."""

    id: TaskId
    tenant: Tenant
    type: str
    status: State
    queue: str
    priority: int
    payload: Any
    result: Any
    error: dict[str, Any] | None
    progress: Any
    tags: dict[str, str]
    attempt: int
    crashes: int
    max_retries: int
    timeout_seconds: float
    idempotency_key: str | None
    parent_id: TaskId | None
    run_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker_id: WorkerId | None
    traceparent: str
    cost_usd: float
    fence: Fence
    callback_url: str | None

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt, as it is read."""

    task_id: TaskId
    fence: Fence
    attempt: int
    status: RunStatus
    worker_id: WorkerId
    started_at: datetime
    finished_at: datetime | None
    error: dict[str, Any] | None
