"""A system in simulation: two stores, and processes that run the product's own code over wires."""

import asyncio
from dataclasses import MISSING, fields
from random import Random
from typing import Any

from orchestrator.domain.ids import Fence, WorkerId
from orchestrator.operations.submit import Intake
from orchestrator.runtime import Limits, Runtime, Standby
from orchestrator.runtime import Store as StandbyStore
from orchestrator.sdk import Config
from orchestrator.telemetry.counts import Counts
from orchestrator.telemetry.reports import Reports
from orchestrator.telemetry.traces import Traces
from orchestrator.worker.attempts import Attempts
from orchestrator.worker.chores import order, relay
from orchestrator.worker.chores.reconcile import Reconciler
from orchestrator.worker.journal import Journal
from orchestrator.worker.recorder import Recorder
from orchestrator.worker.scheduler import Scheduler
from orchestrator.worker.worker import Worker
from tests.simulation.handlers import HANDLERS, Player
from tests.simulation.heart import Heart
from tests.simulation.loop import SimulationLoop
from tests.simulation.network import Network
from tests.simulation.process import Process, SimulatedClock
from tests.simulation.stores import PostgresStore, RedisStore
from tests.simulation.wires import Broadcast, FeedWire, PresenceWire, QueueWire, ledger_wire
from tests.simulation.witness import Witness

LEASE_MS = 3_000
LEASE_SECONDS = LEASE_MS / 1000
_CONCURRENCY = 4
_LIMITS = Limits(
    max_retries=3, timeout_seconds=900.0, lease_ms=LEASE_MS, max_queue_depth=None, max_body_bytes=10_000,
    max_batch_bytes=10_000, max_result_bytes=10_000, max_artifact_bytes=10_000, retention_days=30, day_budget_nano=0,
)  # fmt: skip


_SKEWS_US = (0, 0, 0, 1_500_000, -1_500_000)
"""How far the time of day of a machine may be off."""


class Complaints(Reports):
    """What a process would report as an error nobody foresaw."""

    def __init__(self, process: Process, witness: Witness) -> None:
        super().__init__()
        self._process = process
        self._witness = witness

    def send(self, error: BaseException, **tags: str) -> None:
        if type(error).__name__ not in ("DeadLetter", "Unavailable"):
            self._witness.blame("no error but foreseen ones", f"{self._process.name}: {error!r} {tags}")


class System:
    """All that lives on one simulated loop."""

    def __init__(self, seed: int, steps: int) -> None:
        self.random = Random(f"{seed}/system")
        self.loop = SimulationLoop(Random(f"{seed}/order"))
        self.clock = SimulatedClock(self.loop, Random(f"{seed}/clock"))
        self.redis = RedisStore(self.loop)
        self.postgres = PostgresStore(self.clock)
        self.witness = Witness(self.loop, self.postgres.tables, self.redis.outbox_has)
        self.postgres.tables.witness = self.witness
        self.network = Network(self.loop, Random(f"{seed}/network"), steps)
        self.broadcast = Broadcast(self.network, Random(f"{seed}/broadcast"))
        self.processes: list[Process] = []
        self.isolated = self.random.choice([0.0, 0.0, 0.3])
        """How many of the workers have no way to Postgres."""
        self._started = 0

    def living(self, role: str) -> list[Process]:
        return [process for process in self.processes if process.alive and process.role == role]

    def anyone(self, random: Random, *roles: str) -> Process | None:
        """One of the living of these roles; a role named twice is hit twice as often."""
        among = [process for role in roles for process in self.living(role)]
        return random.choice(among) if among else None

    def _process(self, role: str) -> Process:
        self._started += 1
        process = Process(self.loop, role, f"{role}-{self._started}")
        self.processes = [each for each in self.processes if each.alive] + [process]
        return process

    def _runtime(self, process: Process, *, isolated: bool = False) -> Runtime:
        skew_us = self.random.choice(_SKEWS_US)
        parts: dict[str, Any] = {
            "ledger": ledger_wire(self.network, process, self.postgres, isolated),
            "queue": QueueWire(self.network, process, self.redis, self.witness, self.broadcast),
            "feed": FeedWire(self.network, process, self.redis),
            "presence": PresenceWire(self.network, process, self.redis),
            "metrics": Counts(),
            "traces": Traces(),
            "reports": Complaints(process, self.witness),
            "clock": SimulatedClock(self.loop, Random(self.random.getrandbits(64)), skew_us),
            "handlers": HANDLERS,
            "config": Config({}),
            "limits": _LIMITS,
            "standby": Standby(isolated, StandbyStore("postgres", away=isolated, silent=isolated)),
        }
        for needed in fields(Runtime):
            if needed.default is MISSING and needed.default_factory is MISSING:
                parts.setdefault(needed.name, None)  # nothing in a simulation asks for it
        return Runtime(**parts)

    def start_api(self) -> tuple[Process, Runtime, Intake]:
        process = self._process("api")
        runtime = self._runtime(process)
        intake = Intake(runtime)
        process.call(intake.start)
        return process, runtime, intake

    def start_scheduler(self) -> Process:
        process = self._process("scheduler")
        runtime, holder = self._runtime(process), WorkerId(process.name)
        chores = [*order.chores(runtime, holder), *Reconciler(runtime).chores(), relay.chore(runtime)]
        process.spawn(Scheduler(runtime, holder, chores).run())
        return process

    def start_worker(self) -> Process:
        process = self._process("worker")
        isolated = self.random.random() < self.isolated
        runtime, name = self._runtime(process, isolated=isolated), WorkerId(process.name)
        process.call(self._begin_worker, process, runtime, name)
        return process

    def _begin_worker(self, process: Process, runtime: Runtime, name: WorkerId) -> None:
        recorder = Recorder(runtime, name)
        journal = Journal(runtime, name, recorder)
        player: Any = Player(runtime, journal, self.witness)
        attempts = Attempts(runtime, name, player, journal, recorder, _CONCURRENCY)
        worker = Worker(runtime, name, attempts, ())

        def lost(fences: list[Fence]) -> None:
            process.call(attempts.stop, fences)

        def hear(message: dict[str, object]) -> None:
            dropped = message.get("drop")
            if isinstance(dropped, list):
                attempts.drop(dropped)
            worker.heard(message)

        journal.start()
        attempts.open()
        heart = Heart(runtime.queue, runtime.clock, name, attempts, lost, LEASE_MS)  # type: ignore[arg-type]
        process.spawn(heart.beat(), heart=True)
        process.hear = hear
        process.leave = worker.stop
        self.broadcast.listeners = [each for each in self.broadcast.listeners if each.alive] + [process]
        process.spawn(self._work(process, worker, attempts, journal))

    async def _work(self, process: Process, worker: Worker, attempts: Attempts, journal: Journal) -> None:
        await worker.run()
        await attempts.close(grace_seconds=1.0)
        await journal.stop()
        self.network.note(process.name, "left", None)
        asyncio.get_running_loop().call_soon(process.kill)
