"""The system: queues, workers, handlers, health."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


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


class Alive(BaseModel):
    status: Literal["ok"]


class Dependency(BaseModel):
    status: Literal["ok", "unavailable"]
    latency_ms: float
    detail: str | None


class Health(BaseModel):
    status: Literal["ok", "degraded", "unavailable"] = Field(description="degraded: one dependency stands in for both.")
    dependencies: dict[str, Dependency]
