"""Tasks, claims and endings for the tests of the ledger."""

import asyncio
from hashlib import sha256
from typing import Any

import asyncpg

from orchestrator.clock import SystemClock
from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import Fence, TaskId, Tenant, WorkerId
from orchestrator.domain.outcome import Crashed, Failed, Outcome, Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.task import Claim, Entry, NewTask, Settlement, TaskError
from orchestrator.ledger.postgres import PostgresLedger

CLOCK = SystemClock()
TENANT = Tenant("acme")
BEGAN_US = 1_795_000_000_000_000
DONE = Succeeded(b'{"size":12}')
BROKEN = TaskError("ValueError", "no such page", retryable=False, fingerprint="f-broken")
FLAKY = TaskError("HTTPError", "503 from example.com", retryable=True, fingerprint="f-flaky")


def new_task(**given: Any) -> NewTask:
    fields: dict[str, Any] = {
        "id": CLOCK.task_id(),
        "tenant": TENANT,
        "type": "resize",
        "payload": b'{"url":"https://example.com"}',
        "created_at": CLOCK.now(),
        "traceparent": CLOCK.traceparent(),
    } | given
    fields.setdefault("fingerprint", sha256(fields["payload"]).digest())
    return NewTask(**fields)


def claim_of(
    task: NewTask, fence: int, attempt: int = 1, *, worker: str = "w1", crashes: int = 0, lost: int | None = None
) -> Claim:
    entry = Entry(
        task.id, task.tenant, task.type, task.queue, task.priority, task.payload, task.max_retries,
        task.timeout_seconds, task.traceparent, attempt - 1, crashes,
    )  # fmt: skip
    return Claim(
        entry,
        Fence(fence),
        attempt,
        WorkerId(worker),
        BEGAN_US + fence,
        waited_us=0,
        settled_epoch=True,
        lost=None if lost is None else Fence(lost),
    )


def ending_of(claim: Claim, outcome: Outcome = DONE, progress: bytes | None = None) -> Settlement:
    return decide(claim, outcome, RetryPolicy(), chance=0.5, duration_us=2_000_000, progress=progress)


def failed(error: TaskError = BROKEN) -> Failed:
    return Failed(error)


def crashed(task: NewTask, fence: int, lost: int, attempt: int = 1, crashes: int = 0) -> Settlement:
    """What the sweep writes for a vanished worker."""
    return ending_of(claim_of(task, fence, attempt, worker="sweeper", crashes=crashes, lost=lost), Crashed(begun=True))


def told(task: NewTask, fence: int, number: int, data: bytes = b'{"text":"hello"}') -> Told:
    return Told(task.id, task.tenant, Fence(fence), number, EventKind.LOG, data, CLOCK.now())


def unknown_id() -> TaskId:
    return CLOCK.task_id()


async def waiting(connection: asyncpg.Connection, count: int = 1) -> list[int]:
    """Return the sessions that wait for a lock, once there are so many."""
    sessions: list[asyncpg.Record] = []
    async with asyncio.timeout(20):
        while len(sessions) < count:
            await asyncio.sleep(0.005)  # Postgres tells nobody that somebody waits
            sessions = await connection.fetch("select distinct pid from pg_locks where not granted")
    return [session["pid"] for session in sessions]


async def results(ledger: PostgresLedger, task_id: TaskId) -> dict[str, bytes | None]:
    """The results of a task's steps by name."""
    return {name: step.result for name, step in (await ledger.steps(task_id)).items()}
