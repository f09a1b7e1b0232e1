"""The answers' shapes, for the OpenAPI document alone: `render.py` writes them, a test holds the two together."""

from datetime import date, datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from orchestrator.domain.artifact import Bucket
from orchestrator.domain.events import EventKind
from orchestrator.domain.outbox import Durability
from orchestrator.domain.principal import Kind
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.steps import StepKind

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")


class Failure(BaseModel):
    type: str
    message: str
    retryable: bool
    fingerprint: str = Field(description="Equal for failures with the same cause.")


class Links(BaseModel):
    self: str
    stream: str


class Task(BaseModel):
    id: str
    type: str
    status: State
    queue: str
    priority: int = Field(description="0 is the most urgent, 9 the least.")
    payload: Any
    result: Any
    error: Failure | None
    progress: Any
    tags: dict[str, str]
    attempt: int = Field(description="Counts from 1 once the first has started.")
    max_retries: int
    timeout_seconds: float
    idempotency_key: str | None
    parent_id: str | None
    callback_url: str | None = Field(description="Told of the final state.")
    run_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker_id: str | None
    trace_id: str
    cost_usd: float
    links: Links


class Created(Task):
    durability: Durability | None = Field(
        default=None, description="In the answer that creates it, if Postgres is away; absent otherwise."
    )


class Run(BaseModel):
    attempt: int
    status: RunStatus
    worker_id: str
    started_at: datetime
    finished_at: datetime | None
    error: Failure | None
    fence: str


class Step(BaseModel):
    name: str
    kind: StepKind
    status: Literal["finished", "failed", "waiting"]
    result: Any = Field(description="Of a call, its child's result.")
    error: Failure | None = Field(description="Of a call whose child failed.")
    child_id: str | None
    wake_at: datetime | None = Field(description="When a sleep ends.")
    at: datetime = Field(description="When its result was kept; of a call or a sleep, when it was begun.")
    fence: str


class ArtifactLinks(BaseModel):
    self: str = Field(description="Answers with the bytes, or leads to them.")
    task: str


class Artifact(BaseModel):
    id: str
    name: str = Field(description="A label; the same name again is another artifact in its place.")
    bucket: Bucket
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    download_url: str | None = Field(
        description="Good for anybody, without a token, for a while; null if there is none."
    )
    download_url_expires_at: datetime | None
    links: ArtifactLinks


class Event(BaseModel):
    id: str = Field(description="Decimal digits that only grow.")
    event: EventKind
    at: datetime
    data: Any


class BatchItem(BaseModel):
    status_code: int
    task: Created | None = None
    problem: dict[str, Any] | None = None


class BatchAnswer(BaseModel):
    items: list[BatchItem]


class Why(BaseModel):
    status: State
    cause: str = Field(description="A stable word for programs.")
    detail: str
    rank: int | None
    busy_workers: int | None
    due_at: datetime | None


class DeadGroup(BaseModel):
    fingerprint: str
    type: str
    count: int
    message: str
    last_at: datetime


class Replayed(BaseModel):
    replayed: int


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


class Queue(BaseModel):
    name: str
    depth: int = Field(description="Tasks that are due and held by nobody.")
    oldest_age_seconds: float
    running: int = Field(description="Leases: of tasks that run, and of those that ended and are not yet settled.")
    paused: bool
    held: int = Field(description="Due, and kept back because their tenant runs its number; not in the depth.")


class Paused(BaseModel):
    name: str
    paused: bool


class Worker(BaseModel):
    id: str
    host: str
    pid: int
    version: str
    queues: list[str] = Field(description="Empty for all.")
    concurrency: int
    started_at: datetime
    running: list[str]


class Count(BaseModel):
    count: int


class Retry(BaseModel):
    max_retries: int
    base_seconds: float
    cap_seconds: float


class Limits(BaseModel):
    timeout_seconds: float
    memory_mb: int | None
    payload_bytes: int
    result_bytes: int


class Handler(BaseModel):
    type: str
    description: str
    kind: Literal["async", "thread", "process"]
    queue: str
    priority: int
    max_retries: int
    timeout_seconds: float
    retry: Retry
    limits: Limits
    payload_schema: dict[str, Any] = Field(alias="schema")


class ModelUse(BaseModel):
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    spent_usd: float


class Account(BaseModel):
    spent_usd: float
    reserved_usd: float = Field(description="Set aside for calls under way.")
    limit_usd: float | None = Field(description="Null for none.")
    models: list[ModelUse] = Field(description="The dearest first.")


class Budget(Account):
    tenant: str
    day: date
    resets_at: datetime
    system: Account | None = Field(description="Of all tenants together; null for who is not an admin.")


class Key(BaseModel):
    id: str
    name: str
    prefix: str = Field(description="How the key begins: no secret.")
    tenant: str
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    rotated_to: str | None = Field(description="The id of the key that replaces it.")


class NewKey(Key):
    key: str = Field(description="The key itself, shown this once.")


class RevokedKey(Key):
    durability: Literal["redis", "memory"] | None = Field(
        None, description="There while Postgres has yet to hear of it."
    )


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


class SubscriptionDeliveryLinks(BaseModel):
    self: str
    runs: str


class SubscriptionDelivery(BaseModel):
    id: str = Field(description="Of the task that delivers.")
    event_id: str = Field(description="The header webhook-id.")
    event: str
    task_id: str | None = Field(description="The task whose end is told; null for a test.")
    status: State
    attempt: int
    answer: DeliveryAnswer | None = Field(description="Of the attempt that arrived.")
    error: Failure | None = Field(description="Of the last attempt that did not; it says what was answered.")
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    links: SubscriptionDeliveryLinks


class ToldAgain(BaseModel):
    replayed: int = Field(description="Deliveries that run again.")
    examined: int = Field(description="Endings that are told if there is no delivery of them yet.")


class Actor(BaseModel):
    kind: Kind
    id: str


class AuditLine(BaseModel):
    number: int = Field(description="Counts from 1 without a gap, in each tenant's trail.")
    id: str
    at: datetime
    tenant: str
    actor: Actor
    action: str = Field(description="The operation's id in this document.")
    targets: list[str] = Field(description="What it was done to.")
    status: int = Field(description="How it was answered.")
    address: str
    trace_id: str
    details: dict[str, str | int]
    hash: str = Field(description="Over the line and the hash of the line before, as docs/security.md says.")


class TypeLimits(BaseModel):
    tasks_per_day: int | None
    running: int | None
    queued: int | None


class Tenant(TypeLimits):
    id: str
    tasks_per_day: int | None = Field(description="Created in a day (UTC). Null for none, here and below.")
    running: int | None = Field(description="At once; more are held in their order.")
    queued: int | None = Field(description="Created and not begun, due later included.")
    usd_per_day: float | None = Field(description="For models; the same limit as in /budget.")
    requests_per_minute: int | None
    types: dict[str, TypeLimits] = Field(description="Limits of single types of its tasks, beside those above.")


class Alive(BaseModel):
    status: Literal["ok"]


class Dependency(BaseModel):
    status: Literal["ok", "unavailable"]
    latency_ms: float
    detail: str | None


class Health(BaseModel):
    status: Literal["ok", "degraded", "unavailable"] = Field(description="degraded: one dependency stands in for both.")
    dependencies: dict[str, Dependency]
