"""The conductor: strikes as the plan says, several at a time, never two on the same thing; and keeps processes up.

A process that ended by itself is started again, as a supervisor would.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from orchestrator.chaos.faults import MOST_AT_ONCE, NotNow, Stage, Strike, breath_seconds, clash
from orchestrator.chaos.history import History, Phase, Record
from orchestrator.clock import Clock

_LOOK_SECONDS = 0.2
_HEALING_SECONDS = 60.0


class Conductor:
    """`perform` returns when every strike was made and has healed."""

    def __init__(self, stage: Stage, history: History, clock: Clock, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._history = history
        self._clock = clock
        self._say = say
        self._under_way: dict[asyncio.Task[None], Strike] = {}
        self.made: Counter[str] = Counter()
        """How often each fault was injected."""
        self.left_out: Counter[str] = Counter()
        self.revived = 0
        """How often a process had ended by itself."""

    async def perform(self, plan: Sequence[Strike]) -> None:
        try:
            for strike in plan:
                await asyncio.sleep(strike.after_seconds)
                await self._room_for(strike)
                self._under_way[asyncio.create_task(self._strike(strike))] = strike
            while self._under_way:
                await self._one_ended()
        finally:
            for task in self._under_way:
                task.cancel()

    async def keep_up(self) -> None:
        """Start again what ended by itself, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for name in self._stage.system.fallen():
                status = self._stage.system.processes[name].returncode
                self.revived += 1
                self._say(f"{name} ended with status {status} and is started again")
                self._stage.system.start(name)

    @property
    def now(self) -> list[str]:
        """What is broken at this moment."""
        return sorted(f"{strike.fault.name} ({strike.target})" for strike in self._under_way.values())

    async def _room_for(self, strike: Strike) -> None:
        while len(self._under_way) >= MOST_AT_ONCE or any(clash(strike, other) for other in self._under_way.values()):
            await self._one_ended()

    async def _one_ended(self) -> None:
        done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._under_way[task]
            task.result()

    async def _strike(self, strike: Strike) -> None:
        fault, target = strike.fault, strike.target
        pid = self._pid(target)
        self._note("inject", strike, {"pid": pid, "hold_seconds": round(strike.hold_seconds, 2)})
        self._say(f"{fault.name} on {target} for {strike.hold_seconds:.1f} s")
        try:
            await fault.inject(self._stage, target)
        except NotNow as reason:
            self.left_out[fault.name] += 1
            self._note("skip", strike, {"reason": str(reason)})
            self._say(f"{fault.name} on {target} is left out: {reason}")
            return
        self.made[fault.name] += 1
        await asyncio.sleep(strike.hold_seconds)
        async with asyncio.timeout(_HEALING_SECONDS):
            await fault.heal(self._stage, target)
        self._note("heal", strike, {})
        await asyncio.sleep(breath_seconds(strike))

    def _pid(self, target: str) -> int:
        process = self._stage.system.processes.get(target)
        return process.pid if process else 0

    def _note(self, phase: Phase, strike: Strike, detail: dict[str, object]) -> None:
        fault, at = strike.fault.name, self._clock.now().timestamp()
        self._history.note(Record(at, "conductor", "fault", phase, name=fault, target=strike.target, detail=detail))
