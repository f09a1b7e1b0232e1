"""What the simulated tasks do: wait, tell, take steps, fail; their payload says how."""

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.discovery import Handlers
from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.outcome import Failed, Outcome, Succeeded
from orchestrator.domain.task import Claim, TaskError
from orchestrator.operations.record import load_steps, save_step
from orchestrator.runtime import Runtime
from orchestrator.sdk import task
from orchestrator.worker.journal import Journal
from tests.simulation.witness import Witness

FLAKY = TaskError("Flaky", "not this time", retryable=True, fingerprint="f-flaky")
BROKEN = TaskError("Broken", "never", retryable=False, fingerprint="f-broken")


@task("play", retry_base_seconds=0.1, retry_cap_seconds=1.0)
async def play(payload: dict[str, Any]) -> None:
    """Known to the intake; what it does stands in `Player`."""


HANDLERS = Handlers([play])


@dataclass
class Player:
    """In place of the executor: runs what a payload says, and no code of a user."""

    runtime: Runtime
    journal: Journal
    witness: Witness

    async def run(self, claim: Claim) -> Outcome:
        self.witness.begins(claim)
        wishes = orjson.loads(claim.entry.payload)
        for number in range(1, wishes.get("tells", 0) + 1):
            self.journal.append(self._told(claim, number))
        if wishes.get("step"):
            await self._step(claim)
        await asyncio.sleep(wishes.get("seconds", 0.0))
        failures = claim.attempt - claim.entry.crashes
        if failures <= wishes.get("fails", 0):
            return Failed(FLAKY, retry_after_seconds=wishes.get("again"))
        if wishes.get("broken"):
            return Failed(BROKEN)
        return Succeeded(orjson.dumps({"fence": str(claim.fence)}))

    async def _step(self, claim: Claim) -> None:
        if "step" in await load_steps(self.runtime, claim.entry.tenant, claim.entry.id):
            return
        if not await save_step(self.runtime, claim, "step", b"1"):
            raise LeaseLost(claim.entry.id, claim.fence)

    def _told(self, claim: Claim, number: int) -> Told:
        entry, now = claim.entry, self.runtime.clock.now()
        return Told(entry.id, entry.tenant, claim.fence, number, EventKind.LOG, b'{"text":"hello"}', now)
