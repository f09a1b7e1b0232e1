"""A webhook delivery as it is put on record: where it came from, how it was proved, which task it became.

Its content is the payload of that task and stands nowhere else.
"""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.ids import TaskId

PROCESSOR = "webhook_process"
"""The type of the task that a delivery becomes; nobody may ask for one, so none was made of what nobody signed."""
RESERVED = "webhook:"
"""How the idempotency keys begin that nobody else may choose: else a caller could hold that of a delivery to come."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a delivery when its task is stored. The fields are columns, in this order."""

    source: str
    delivery_id: str
    """Equal for every repeat; unique for a source of a tenant."""
    event: str
    scheme: str
    secret: int
    """Which secret of the source's list it was signed with, from 0: tells when an old one is not used any more."""

    @property
    def key(self) -> str:
        """The idempotency key of its task."""
        return f"{RESERVED}{self.source}:{self.delivery_id}"


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as it is read."""

    id: TaskId
    """That of its first task; it stays when another task takes its place."""
    source: str
    delivery_id: str
    event: str
    scheme: str
    secret: int
    task_id: TaskId
    received_at: datetime
    seen_at: datetime
    """When it, or a repeat of it, last came."""
    times_seen: int
    redelivered: int
    """How often it was processed again by hand."""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """What a list of deliveries is narrowed to; None is everything."""

    source: str | None = None
    event: str | None = None
