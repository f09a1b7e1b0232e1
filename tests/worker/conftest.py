"""A worker and a scheduler inside the test's own loop, on stores of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestrator.domain.events import Event, EventKind
from orchestrator.domain.ids import DEFAULT_TENANT, WorkerId
from orchestrator.domain.task import Task
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.follow import follow
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.submit import Intake, Receipt
from orchestrator.queue.connect import connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.presence import Presence
from orchestrator.queue.redis import RedisQueue
from orchestrator.runtime import Runtime
from orchestrator.settings import Settings
from orchestrator.wiring import open_runtime
from orchestrator.worker.chores import callbacks, limits, order, relay, wakes
from orchestrator.worker.chores.reconcile import Reconciler
from orchestrator.worker.scheduler import Scheduler
from orchestrator.worker.service import Facts, WorkerService

STEP_US = 3_600_000_000
POP_SECONDS = 0.1
"""A worker that is stopped waits for its last pop: a second, if nobody shortens it."""
HASTE = 4
"""Chores come round so much sooner than in a scheduler of its own."""


@dataclass
class House:
    """One process' runtime with an intake; workers and schedulers are started by the test."""

    runtime: Runtime
    intake: Intake
    redis_url: str

    def __post_init__(self) -> None:
        pop = self.runtime.queue.pop
        self.runtime.queue.pop = lambda queues, _: pop(queues, POP_SECONDS)  # type: ignore[method-assign]

    async def submit(self, kind: str, payload: Any = None, **fields: Any) -> Task:
        return (await self.receive(kind, payload, **fields)).task

    async def receive(self, kind: str, payload: Any = None, **fields: Any) -> Receipt:
        request = TaskRequest(type=kind, payload={} if payload is None else payload, **fields)
        return await self.intake.submit(request, Origin(DEFAULT_TENANT))

    async def story(self, task: Task) -> list[Event]:
        """Every event of a task up to its end."""
        async with asyncio.timeout(20):
            return [event async for event in follow(self.runtime, DEFAULT_TENANT, task.id, -1)]

    async def running(self, task: Task) -> None:
        """Return when it has told something, and so runs and is on record."""
        async with asyncio.timeout(20):
            async for event in follow(self.runtime, DEFAULT_TENANT, task.id, -1):
                if event.kind is EventKind.LOG:
                    return

    async def ended(self, task: Task) -> Task:
        await self.story(task)
        read = await self.runtime.ledger.read(DEFAULT_TENANT, task.id)
        assert read is not None
        return read

    @asynccontextmanager
    async def worker(
        self, *, concurrency: int = 4, queues: tuple[str, ...] = (), grace_seconds: float = 5, name: str = "worker-1"
    ) -> AsyncIterator[WorkerService]:
        facts = Facts(WorkerId(name), "test", concurrency, queues, grace_seconds, ())
        service = WorkerService(self.runtime, facts, self._connections)
        running = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            service.stop()
            await running

    @asynccontextmanager
    async def scheduler(self) -> AsyncIterator[None]:
        holder = WorkerId("scheduler-1")
        chores = [
            *order.chores(self.runtime, holder),
            *Reconciler(self.runtime).chores(),
            *wakes.chores(self.runtime),
            relay.chore(self.runtime),
            callbacks.chore(self.runtime),
            *limits.chores(self.runtime),
        ]
        hasty = [replace(chore, every_seconds=chore.every_seconds / HASTE) for chore in chores]
        scheduler = Scheduler(self.runtime, holder, hasty)
        running = asyncio.create_task(scheduler.run())
        try:
            yield
        finally:
            scheduler.stop()
            await running

    def _connections(self) -> Any:
        commands, blocking = connect(self.redis_url)

        async def close() -> None:
            await commands.aclose()
            await blocking.aclose()

        return RedisQueue(commands, blocking, Keys(), STEP_US), Presence(commands, Keys()), close


@pytest.fixture
async def house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    settings = Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=redis_url,
        task_lease_seconds=2,
        aurea_handlers=(
            "tests.worker.life_handlers",
            "tests.worker.waiting_handlers",
            "tests.worker.edge_handlers",
            "tests.worker.limit_handlers",
        ),
        aurea_allow_private_hosts=("localhost",),
        aurea_signing_secrets=("a master secret of the tests: new",),
    )
    async with open_runtime(settings, "worker") as runtime:
        await open_epoch(runtime)
        intake = Intake(runtime)
        intake.start()
        yield House(runtime, intake, redis_url)
        await intake.stop()
