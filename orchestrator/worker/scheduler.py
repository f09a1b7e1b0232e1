"""The scheduler: runs the chores while it leads.

Any number may run; one leads by a lock that it extends, and the others wait for it. A leader that is paused past
its lock and goes on does no harm: every chore is safe when two do it.
"""

import asyncio
from contextlib import suppress

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import WorkerId
from orchestrator.queue.port import EpochMissing
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore

_log = structlog.get_logger("orchestrator.scheduler")

_LEAD_MS = 4_000
_CAMPAIGN_SECONDS = 1.0
_SAID_AFTER = 3
"""Failures in a row before they are worth a line: a store that restarts is back sooner."""


class Scheduler:
    """One process' chores; `run` returns after `stop`."""

    def __init__(self, runtime: Runtime, holder: WorkerId, chores: list[Chore]) -> None:
        self._runtime = runtime
        self._holder = holder
        self._chores = chores
        self._stopping = asyncio.Event()
        self._leading = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        loops = [asyncio.create_task(self._repeat(chore)) for chore in self._chores]
        try:
            await self._campaign()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _campaign(self) -> None:
        while not self._stopping.is_set():
            try:
                leads = await self._runtime.presence.lead(self._holder, _LEAD_MS)
            except Unavailable:
                leads = False
            if leads and not self._leading.is_set():
                _log.info("leading", holder=self._holder)
                self._leading.set()
            elif not leads and self._leading.is_set():
                _log.warning("no_longer_leading", holder=self._holder)
                self._leading.clear()
            await self._wait(_CAMPAIGN_SECONDS)
        if self._leading.is_set():
            with suppress(Unavailable):  # the lock runs out by itself
                await self._runtime.presence.step_down(self._holder)

    async def _repeat(self, chore: Chore) -> None:
        failures = 0
        while True:
            await self._leading.wait()
            more = False
            try:
                more = await chore.tick()
                failures = 0
            except (Unavailable, EpochMissing) as away:
                failures += 1
                if failures == _SAID_AFTER:
                    _log.warning("chore_waits", chore=chore.name, reason=str(away) or type(away).__name__)
            except Exception as error:  # noqa: BLE001 - one chore must not end the others
                failures += 1
                _log.exception("chore_failed", chore=chore.name)
                self._runtime.reports.send(error, chore=chore.name)
            if not more:
                # A little jitter keeps the chores of one second from falling on one moment.
                await asyncio.sleep(chore.every_seconds * (0.9 + 0.1 * self._runtime.clock.chance()))

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
