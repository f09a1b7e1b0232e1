"""A campaign: a throw-away system is started, loaded, broken, healed and drained, and judged.

Everything happens in one folder and ends with this process. The folder keeps the history (`history.jsonl`), the sink
and every log; whoever made it removes it.
"""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import asyncpg

from orchestrator.chaos.checker import check
from orchestrator.chaos.conductor import Conductor
from orchestrator.chaos.evidence import collect
from orchestrator.chaos.faults import APIS, Stage, expected_seconds
from orchestrator.chaos.handlers import SINK
from orchestrator.chaos.history import History
from orchestrator.chaos.load import Groups, Load
from orchestrator.chaos.options import Options
from orchestrator.chaos.proxy import Proxy
from orchestrator.chaos.recovery import recoveries
from orchestrator.chaos.stores import Stores
from orchestrator.chaos.system import System
from orchestrator.chaos.verdict import Verdict
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.process import ending_of
from orchestrator.ledger.statements import load
from orchestrator.queue.keys import Keys

_SHORTEST_SECONDS = 5.0
_LOOK_SECONDS = 0.25
_SAY_SECONDS = 1.0
_ANSWERS_WITHIN_SECONDS = 60.0
_DRAIN_SECONDS = 120.0
_SQL = load("chaos")


@dataclass(frozen=True, slots=True)
class Progress:
    """How a campaign stands."""

    stage: str
    accepted: int = 0
    finished: int = 0
    faults: int = 0
    broken: Sequence[str] = ()


Show = Callable[[Progress], None]
Say = Callable[[str], None]


class Campaign:
    """`run` gives the verdict; when it is left early nothing keeps running."""

    def __init__(self, options: Options, show: Show, say: Say) -> None:
        self._options = options
        self._show = show
        self._say = say
        self._clock = SystemClock()
        self._stores = Stores(options.folder)
        self._sink = options.folder / "executions"
        self._plan = options.plan
        self._stage = "breaking"
        asked_seconds = (options.minutes or 0) * 60
        self._lasting_seconds = max(_SHORTEST_SECONDS, asked_seconds, expected_seconds(self._plan))

    async def run(self) -> Verdict:
        options = self._options
        self._show(Progress("starting"))
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._stores.close)
            await self._stores.open()
            system = self._system()
            closing.push_async_callback(system.close)
            stage = Stage(system, self._stores, options.lease_seconds, await self._doors(system, closing))
            await self._start(system)
            history = closing.enter_context(History(options.folder / "history.jsonl"))
            urls = [f"http://127.0.0.1:{door.port}" for door in stage.doors.values()]
            groups = Groups(options.seed, options.tasks, options.lease_seconds, options.payloads)
            load = Load(groups, urls, history, stage.wishes, lasting_seconds=self._lasting_seconds)
            conductor = Conductor(stage, history, self._clock, self._say)
            return await self._perform(load, conductor, history)

    def _system(self) -> System:
        options = self._options
        settings = {
            "TASK_LEASE_SECONDS": str(options.lease_seconds),
            "AUREA_HANDLERS": ",".join(("orchestrator.chaos.handlers", *filter(None, [options.handlers]))),
            SINK: str(self._sink),
            "LOG_FORMAT": "json",
            "AUREA_TRACE_SAMPLE": "0",
            "SHUTDOWN_GRACE_SECONDS": "10",
            "MAX_CONCURRENCY": "20",
        }
        return System(self._stores.postgres.url, self._stores.valkey.url, options.folder, settings)

    async def _doors(self, system: System, closing: AsyncExitStack) -> dict[str, Proxy]:
        doors = {}
        for name in APIS:
            doors[name] = Proxy(system.port(name))
            await doors[name].open()
            closing.push_async_callback(doors[name].close)
        return doors

    async def _start(self, system: System) -> None:
        for name in self._options.names:
            await system.link(name)
            system.start(name)
        try:
            for name in APIS:
                await system.ready(name)
            for number in range(self._options.workers):
                await system.serving(number + 1)
        except TimeoutError:
            said = "\n".join(ending_of(self._options.folder / f"{name}.log") for name in (APIS[0], "worker1"))
            raise NotStarted(f"the system did not start; {said}") from None

    async def _perform(self, load: Load, conductor: Conductor, history: History) -> Verdict:
        began = self._clock.monotonic()
        loading = asyncio.create_task(load.run())
        beside = [asyncio.create_task(work) for work in (conductor.keep_up(), self._keep_showing(load, conductor))]
        try:
            await conductor.perform(self._plan)
            healed = self._clock.monotonic()
            self._stage = "draining"
            load.finish()
            await self._answered(load, loading)
            drained = await self._drained(healed)
        finally:
            for task in (loading, *beside):
                task.cancel()
            await asyncio.gather(loading, *beside, return_exceptions=True)
        return await self._judge(load, conductor, history, self._clock.monotonic() - began, drained)

    async def _answered(self, load: Load, loading: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait([loading], timeout=self._lasting_seconds + _ANSWERS_WITHIN_SECONDS)
        if not done:
            load.give_up()
        await loading

    async def _drained(self, healed: float) -> float | None:
        """Return how long after the last healing everything was final; None when it was not in time."""
        deadline = self._clock.monotonic() + _DRAIN_SECONDS
        while self._clock.monotonic() < deadline:
            if await self._left() == 0:
                return round(self._clock.monotonic() - healed, 2)
            await asyncio.sleep(_LOOK_SECONDS)
        return None

    async def _left(self) -> int:
        """How many tasks are not final, and how many records are on their way."""
        session = await self._stores.session()
        try:
            left = await session.fetchval(_SQL["unfinished"])
        finally:
            await session.close()
        async with self._stores.redis() as client:
            return int(left) + int(await client.xlen(Keys().outbox))

    async def _keep_showing(self, load: Load, conductor: Conductor) -> None:
        finished = 0
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                finished = await self._finished()
            made = conductor.made.total()
            self._show(Progress(self._stage, load.accepted, finished, made, conductor.now))
            await asyncio.sleep(_SAY_SECONDS)

    async def _finished(self) -> int:
        session = await self._stores.session()
        try:
            return int(await session.fetchval(_SQL["finished"]))
        finally:
            session.terminate()

    async def _judge(
        self, load: Load, conductor: Conductor, history: History, seconds: float, drained: float | None
    ) -> Verdict:
        self._show(Progress("judging", load.accepted, load.accepted, conductor.made.total()))
        logs = [self._options.folder / f"{name}.log" for name in self._options.names]
        session = await self._stores.session()
        try:
            evidence = await collect(session, self._sink, logs)
        finally:
            await session.close()
        one_worker = self._options.workers == 1
        found = check(history.records, evidence.rows, evidence.runs, evidence.executions, one_worker=one_worker)
        waits = statistics.quantiles(load.waits_ms, n=100) if len(load.waits_ms) > 1 else [0.0] * 99
        return Verdict(
            seed=self._options.seed,
            findings=found,
            seconds=seconds,
            drained_seconds=drained,
            refused_writes=evidence.refused_writes,
            post_ms=(round(waits[49], 1), round(waits[98], 1)),
            faults=conductor.made,
            left_out=conductor.left_out,
            revived=conductor.revived,
            recoveries=recoveries(history.records, evidence.rows, evidence.runs),
        )
