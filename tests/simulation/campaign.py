"""One simulated run by its seed: load and faults for so many steps, then healing, draining and the verdict."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.operations.pause import resume
from orchestrator.runtime import Runtime
from orchestrator.telemetry import logs
from tests.simulation.book import Book
from tests.simulation.clients import QUEUES, Client
from tests.simulation.faults import Faults
from tests.simulation.network import Event
from tests.simulation.process import Process
from tests.simulation.system import System
from tests.simulation.verdict import judge, unfinished
from tests.simulation.witness import Violation

STEPS_PER_RUN = 20_000
_CLIENTS = 3
_LONGEST_DRAIN_SECONDS = 180.0
_TRACED, _LONGEST_LINE = 60, 300
_SILENT = 50
"""The level that nothing here logs at."""


@dataclass
class Outcome:
    """What one run came to."""

    seed: int
    steps: int
    effects: int
    turns: int
    seconds: float
    """Of simulated time."""
    accepted: int
    tasks: int
    states: Counter[str]
    handlers: int
    faults: dict[str, int]
    digest: int
    """Equal for equal runs."""
    violations: list[Violation] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)


def simulate(seed: int, steps: int = STEPS_PER_RUN) -> Outcome:
    """Run one seed; equal arguments give equal runs, whatever ran before in this process."""
    with quiet():
        return Context().run(_simulate, seed, steps)


def _simulate(seed: int, steps: int) -> Outcome:
    run = Run(seed, steps)
    run.system.loop.run()
    return run.outcome()


class Run:
    """One seed: a system, its clients and its faults, and what conducts them."""

    def __init__(self, seed: int, steps: int) -> None:
        self.seed = seed
        self.random = Random(f"{seed}/campaign")
        self.system = System(seed, steps)
        self.book = Book(self.system.postgres.tables, self.system.witness, self.system.redis.ended_in_outbox)
        self.faults = Faults(self.system, Random(f"{seed}/faults"), self._replace)
        self.system.network.crash = self.faults.kill
        self._over = asyncio.Event()
        self._runtimes: dict[str, Runtime] = {}
        self._think_seconds = self.random.choice([0.05, 0.1, 0.2])
        self.system.loop.create_task(self._conduct(), context=self.system.loop.ground.context)

    async def _conduct(self) -> None:
        system = self.system
        for role in ("api", "api", "scheduler", "scheduler", "worker", "worker", "worker"):
            self._start(role)
        befalling = asyncio.create_task(self.faults.befall())
        await system.network.reached.wait()
        befalling.cancel()
        self.faults.heal()
        self._over.set()
        await self._drain()
        if not system.witness.violations:
            judge(system, self.book)
        for complaint in system.loop.complaints:
            system.witness.blame("no error but foreseen ones", complaint)
        system.loop.finish()

    async def _drain(self) -> None:
        """Wait until all is quiet, for so long at most; what clients left paused is resumed."""
        system = self.system
        deadline = system.loop.time() + _LONGEST_DRAIN_SECONDS
        while system.loop.time() < deadline:
            for process in system.living("api")[:1]:
                process.spawn(self._resume_all(process))
            await asyncio.sleep(2.0)
            if not unfinished(system):
                return

    async def _resume_all(self, process: Process) -> None:
        try:
            for queue in sorted(set(QUEUES)):
                await resume(self._runtimes[process.name], queue)
        except Unavailable:
            return

    def _start(self, role: str) -> None:
        if role == "worker":
            self.system.start_worker()
        elif role == "scheduler":
            self.system.start_scheduler()
        else:
            process, runtime, intake = self.system.start_api()
            self._runtimes[process.name] = runtime
            for _ in range(0 if self._over.is_set() else _CLIENTS):
                client = Client(runtime, intake, self.book, Random(self.random.getrandbits(64)), self._think_seconds)
                process.spawn(self._live(client))

    async def _live(self, client: Client) -> None:
        living = asyncio.create_task(client.live())
        living.add_done_callback(self._left)
        await self._over.wait()
        living.cancel()

    def _left(self, living: asyncio.Task[None]) -> None:
        if not living.cancelled():
            self.system.witness.blame("no error but foreseen ones", f"a client: {living.exception()!r}")

    def _replace(self, process: Process) -> None:
        self._start(process.role)

    def outcome(self) -> Outcome:
        system = self.system
        tasks = system.postgres.tables.tasks
        return Outcome(
            seed=self.seed,
            steps=system.network.steps,
            effects=system.network.effects,
            turns=system.loop.turns,
            seconds=system.loop.time(),
            accepted=len(self.book.accepted),
            tasks=len(tasks),
            states=Counter(str(row["status"]) for row in tasks.values()),
            handlers=system.witness.handlers,
            faults=self.faults.drawn,
            digest=system.network.digest,
            violations=system.witness.violations,
            trace=[_line(event) for event in list(system.network.trace)[-_TRACED:]],
        )


def _line(event: Event) -> str:
    step, moment_us, who, what, about = event
    text = "" if about is None else str(about)
    return f"{step:>7} {moment_us / 1e6:>10.4f} s  {who:<13} {what:<22} {text[:_LONGEST_LINE]}"


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines: a system under faults has much to say."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_SILENT))
    try:
        with patch.object(logs, "_direct", None):  # which would have the loop flush it
            yield
    finally:
        structlog.configure(**before)
