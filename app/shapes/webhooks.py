"""What comes by webhooks, and who is told by them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.shapes.tasks import Failure
from orchestrator.domain.states import State


class DeliveryLinks(BaseModel):
    self: str
    task: str


class Delivery(BaseModel):
    id: str
    source: str
    delivery_id: str = Field(description="Equal for every repeat.")
    event: str
    scheme: str = Field(description="How it was proved.")
    secret: int = Field(description="Which of the source's secrets it was signed with, from 0.")
    task_id: str = Field(description="The task that it became.")
    received_at: datetime
    seen_at: datetime = Field(description="When it, or a repeat of it, last came.")
    times_seen: int
    redelivered: int = Field(description="How often it was processed again by hand.")
    links: DeliveryLinks


class DeliveryContent(Delivery):
    headers: dict[str, str] | None = Field(description="Null once its task is forgotten; so is the body.")
    body: Any


class SubscriptionLinks(BaseModel):
    self: str
    deliveries: str


class Subscription(BaseModel):
    id: str
    url: str
    types: list[str] | None = Field(description="Null: tasks of all types.")
    states: list[State] | None = Field(description="Null: all final states.")
    description: str
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failures: int = Field(description="Deliveries given up since the last that arrived; the tenth disables.")
    rotated_at: datetime | None
    created_at: datetime
    links: SubscriptionLinks


class Secret(BaseModel):
    secret: str = Field(
        description="`whsec_` and base64, as Standard Webhooks writes it. Keep it: it is not shown again."
    )


class SubscriptionShown(Subscription, Secret):
    pass


class DeliveryAnswer(BaseModel):
    status: int
    answer: str = Field(description="The beginning of its body.")


class Unreadable(BaseModel):
    unreadable: str = Field(description="Why what is sealed cannot be read.")


class SubscriptionDeliveryLinks(BaseModel):
    self: str
    runs: str


class SubscriptionDelivery(BaseModel):
    id: str = Field(description="Of the task that delivers.")
    event_id: str | None = Field(description="The header webhook-id; null where what is sealed cannot be read.")
    event: str = Field(description="Its type; `unreadable: ` and the reason where what is sealed cannot be read.")
    task_id: str | None = Field(description="The task whose end is told; null for a test.")
    status: State
    attempt: int
    answer: DeliveryAnswer | Unreadable | None = Field(description="Of the attempt that arrived.")
    error: Failure | None = Field(description="Of the last attempt that did not; it says what was answered.")
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    links: SubscriptionDeliveryLinks


class ToldAgain(BaseModel):
    replayed: int = Field(description="Deliveries that run again.")
    examined: int = Field(description="Endings that are told if there is no delivery of them yet.")
