"""Tasks, and all that is told of one."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from orchestrator.domain.artifact import Bucket
from orchestrator.domain.events import EventKind
from orchestrator.domain.outbox import Durability
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.steps import StepKind


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
