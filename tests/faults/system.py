"""A whole system of processes for one test, on servers that the test may break."""

import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.chaos import system as kit
from orchestrator.chaos.ports import quiet_port as free_port
from orchestrator.chaos.system import TOKEN, until
from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.valkey import Valkey
from orchestrator.ledger.migrate import migrate
from tests.faults.groups import Group

__all__ = ["AUREA", "TOKEN", "System", "free_port", "running_system", "until"]

HANDLERS = Path(__file__).with_name("handlers.py")
AUREA = Path(sys.executable).with_name("aurea")


class System(kit.System):
    """With the handlers of the fault tests, which write one line per execution outside the system."""

    @property
    def effects(self) -> Path:
        return self.folder / "effects"

    async def submit(self, tasks: Sequence[dict[str, Any]]) -> list[str]:
        """Hand in tasks a thousand at a time, in order; return their ids."""
        ids: list[str] = []
        async with self.client() as client:
            for start in range(0, len(tasks), 1000):
                answer = await client.post("/tasks/batch", json={"tasks": list(tasks[start : start + 1000])})
                assert answer.status_code == 201, answer.text
                ids += [each["task"]["id"] for each in answer.json()["items"]]
        return ids

    async def drained(self, seconds: float) -> None:
        """Return when every task is final."""

        async def none_left() -> bool:
            return await self.unfinished() == 0

        await until(none_left, seconds)

    def executions(self) -> list[list[str]]:
        """Every execution the handlers noted: task id, attempt, fence, word."""
        if not self.effects.exists():
            return []
        return [line.split() for line in self.effects.read_text().splitlines()]


@contextlib.asynccontextmanager
async def running_system(
    postgres: Postgres, valkey: Valkey | Group, folder: Path, **settings: str
) -> AsyncIterator[System]:
    """A migrated database and an empty Redis; the test starts the processes it wants."""
    await migrate(postgres.url)
    ours = {
        "TASK_LEASE_SECONDS": "3",
        "AUREA_HANDLERS": str(HANDLERS),
        "EFFECTS": str(folder / "effects"),
        "LOG_FORMAT": "json",
    }
    system = System(postgres.url, valkey.url, folder, {**ours, **settings})
    try:
        yield system
    finally:
        await system.close()
