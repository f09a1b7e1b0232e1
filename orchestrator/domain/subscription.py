"""Who is told of final states: subscriptions, and the notes of what they are still to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from orchestrator.domain.ids import Fence, TaskId, Tenant
from orchestrator.domain.signing import Generation
from orchestrator.domain.states import State

SubscriptionId = NewType("SubscriptionId", str)
"""Lower-case, hyphenated UUIDv7."""

DELIVER = "webhook_deliver"
"""The type of the tasks that tell: the system alone makes them."""
DELIVERIES = DELIVER
"""The queue in which they wait, and nothing else: a slow receiver holds up no other task."""
CALLBACKS = "callbacks"
"""The recipient whose secret signs what goes to a tenant's callback URLs."""
MOST_SUBSCRIPTIONS = 50
"""Of one tenant: each of its tasks may be told to all of them."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """An address of a tenant that is told of its tasks' final states."""

    id: SubscriptionId
    tenant: Tenant
    url: str
    types: Sequence[str] | None
    """None: tasks of all types."""
    states: Sequence[State] | None
    """None: all final states."""
    description: str
    generation: Generation
    failures: int
    """Deliveries that were given up since the last one that arrived."""
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Callback:
    """A note that somebody is to be told how a task ended."""

    id: int
    tenant: Tenant
    subscription_id: SubscriptionId | None
    """None: `url` is the task's own callback URL."""
    url: str | None
    task_id: TaskId
    fence: Fence
    traceparent: str
    status: State
    told: bytes
    """JSON: the task as it ended, without its result."""
    result: bytes | None
    """JSON; None for none, and for one that is too long to be told."""
    ended_at: datetime

    @property
    def event_id(self) -> str:
        """Names this ending of this task: a task that is run again ends under another fence."""
        return f"evt_{self.task_id.replace('-', '')}_{self.fence}"

    @property
    def key(self) -> str:
        """The delivery's idempotency key: one recipient is told of one ending once."""
        return f"webhook:{self.subscription_id or 'callback'}:{self.event_id}"


@dataclass(frozen=True, slots=True)
class Signed:
    """An event that is ready to go: where to, and the headers that prove who sent it."""

    url: str | None
    """None: where the task itself says."""
    headers: dict[str, str]
    closed: str | None = None
    """Why it is not to go any more; there are no headers then."""
