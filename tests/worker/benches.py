"""What the tests of single attempts share: a claim, and a bench whose parts a test can look into."""

import asyncio
from typing import Any

from orchestrator.clock import Clock, SystemClock
from orchestrator.discovery import Handlers
from orchestrator.domain.ids import DEFAULT_TENANT, Fence, TaskId, WorkerId
from orchestrator.domain.outcome import Failed, Succeeded
from orchestrator.domain.task import Claim, Entry, TaskError
from orchestrator.sdk import Config, Handler
from orchestrator.testing.outside import Outside
from orchestrator.testing.record import Record
from orchestrator.worker.bench import Bench
from orchestrator.worker.executor import Executor

TASK_ID = TaskId("01997c0e-0000-7000-8000-000000000001")
FENCE = Fence(7)


class FullJournal(Record):
    """A journal that has no room until a test opens it, and a ledger whose fence a test can outdate."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, {})
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.stale = False

    async def room(self) -> None:
        await self.has_room.wait()

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        return not self.stale and await super().save(claim, name, result)


def lay_bench(journal: Record | None = None, clock: Clock | None = None, **parts: Any) -> tuple[Bench, Record]:
    clock = clock or SystemClock()
    record = journal or FullJournal(clock)
    given: dict[str, Any] = {"http": None, "config": Config({}), "max_result_bytes": 1000, **parts}
    services = Outside(record, clock, ())
    return Bench(clock=clock, journal=record, steps=record, submit=record.submit, services=services, **given), record


def claim(task_type: str, payload: bytes = b"{}", timeout_seconds: float = 30.0, attempt: int = 1) -> Claim:
    entry = Entry(TASK_ID, DEFAULT_TENANT, task_type, "default", 5, payload, 6, timeout_seconds, "00-a-b-00")
    return Claim(entry, FENCE, attempt, WorkerId("w"), 0, 0, settled_epoch=True)


async def run(handler: Handler, payload: bytes = b"{}", bench: Bench | None = None, **claimed: Any) -> Any:
    """Run one attempt of one handler and return its outcome."""
    executor = Executor(Handlers([handler]), bench or lay_bench()[0])
    async with asyncio.timeout(20):
        return await executor.run(claim(handler.name, payload, **claimed))


async def error_of(handler: Handler, payload: bytes = b"{}", bench: Bench | None = None, **claimed: Any) -> TaskError:
    outcome = await run(handler, payload, bench, **claimed)
    assert isinstance(outcome, Failed), outcome
    return outcome.error


async def result_of(handler: Handler, payload: bytes = b"{}", bench: Bench | None = None, **claimed: Any) -> bytes:
    outcome = await run(handler, payload, bench, **claimed)
    assert isinstance(outcome, Succeeded), outcome
    return outcome.result
