"""What operations work with: the stores, the clock, the handlers and the limits, opened once per process.

`orchestrator.wiring` builds it from the settings; operations receive it and keep no state of their own but `spare`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import httpx2

from orchestrator.artifacts.port import ArtifactStore
from orchestrator.clock import Clock
from orchestrator.discovery import Handlers
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.outbox import KeyHold
from orchestrator.domain.profile import BEGINNING, Profile
from orchestrator.domain.rate import Meter
from orchestrator.domain.signing import Signer
from orchestrator.egress.addresses import Allowed
from orchestrator.ledger.postgres import PostgresLedger
from orchestrator.models.models import Models
from orchestrator.queue.counters import Counters
from orchestrator.queue.feed import Feed
from orchestrator.queue.keyring import Keyring
from orchestrator.queue.port import Queue
from orchestrator.queue.presence import Presence
from orchestrator.queue.rates import Rates
from orchestrator.queue.server import RedisServer
from orchestrator.queue.subscriptions import Subscriptions
from orchestrator.sdk import Config
from orchestrator.telemetry.counts import Counts
from orchestrator.telemetry.reports import Reports
from orchestrator.telemetry.traces import Traces
from orchestrator.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers that bound a system; sizes in bytes."""

    max_retries: int
    timeout_seconds: float
    lease_ms: int
    max_queue_depth: int | None
    max_body_bytes: int
    max_batch_bytes: int
    max_result_bytes: int
    max_artifact_bytes: int
    retention_days: int
    day_budget_nano: int
    """What models may cost in a day (UTC) where no other limit was set."""


@dataclass(slots=True)
class Spare:
    """The epoch that this process has spent while Redis could mint no fence, and how many of its fences are used."""

    epoch: int = 0
    """0: none."""
    used: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Store:
    """One of the two stores, as this process sees it."""

    name: str
    away: bool = False
    """This process writes elsewhere."""
    silent: bool = False
    """It does not answer; when it does again, what was written elsewhere is awaited first."""
    watcher: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A task of which nobody knows whether it was kept."""

    task_id: TaskId
    fingerprint: bytes
    until: float
    """On the monotonic clock, in seconds."""


@dataclass(slots=True)
class Standby:
    """Which stores this process does without for now; `operations.standby` keeps it."""

    isolated: bool = False
    """Without Postgres for good: everything goes through the outbox."""
    postgres: Store = field(default_factory=lambda: Store("postgres"))
    redis: Store = field(default_factory=lambda: Store("redis"))
    appending: int = 0
    """Calls on their way to the outbox."""
    untold: dict[TaskId, KeyHold] = field(default_factory=dict)
    """Keys that Postgres took while Redis was away."""
    unsaid: deque[Callable[[], Awaitable[None]]] = field(default_factory=deque)
    """What Redis is still to be told, the oldest first."""
    doubts: dict[tuple[Tenant, str], Doubt] = field(default_factory=dict)
    """By idempotency key, the oldest first."""
    gate: asyncio.Event | None = None
    """Set while writes are held up, until it is."""


@dataclass(slots=True)
class Profiles:
    """What this process knows of the tenants' limits; `operations.profile` keeps it."""

    by_tenant: dict[Tenant, Profile] = field(default_factory=dict)
    """Those that have any."""
    since: datetime = BEGINNING
    """The last change that was seen."""
    uncounted: set[Tenant] = field(default_factory=set)
    """Whose tasks Redis has not counted while it was away."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One process' open connections and fixed facts."""

    ledger: PostgresLedger
    queue: Queue
    redis: RedisServer
    feed: Feed
    subscriptions: Subscriptions
    presence: Presence
    counters: Counters
    keyring: Keyring
    rates: Rates
    metrics: Counts
    traces: Traces
    reports: Reports
    clock: Clock
    handlers: Handlers
    http: httpx2.AsyncClient
    models: Models
    artifacts: ArtifactStore
    config: Config
    limits: Limits
    signer: Signer = field(default_factory=Signer)
    private_hosts: Allowed = field(default_factory=lambda: Allowed(()))
    """Hosts that may be called although they are not public."""
    vault: Vault = field(default_factory=Vault)
    profiles: Profiles = field(default_factory=Profiles)
    meter: Meter = field(default_factory=Meter)
    spare: Spare = field(default_factory=Spare)
    standby: Standby = field(default_factory=Standby)
