"""Checkpoints of a script: each is a durable step, numbered through all attempts of the task."""

from typing import Any

import orjson

from handlers.centerpoint_sync.endings import ProtocolBroken
from orchestrator.sdk import Context

MOST = 10_000
LARGEST_BYTES = 16_384


class _NotKept(Exception):
    """There is no such checkpoint yet."""


class Checkpoints:
    """The states that a task's script has handed over."""

    def __init__(self, ctx: Context) -> None:
        self.count = 0
        self.last: Any = None
        """The newest state; None before the first."""
        self._ctx = ctx

    async def recall(self) -> None:
        """Find what earlier attempts kept."""
        try:
            while True:
                self.last = await self._ctx.step(_name(self.count + 1), _not_kept)
                self.count += 1
        except _NotKept:
            return

    async def keep(self, state: Any) -> None:
        """Return once it cannot be lost any more. Raises ProtocolBroken for one too large or too many."""
        if (size := len(orjson.dumps(state))) > LARGEST_BYTES:
            raise ProtocolBroken(f"a checkpoint of {size} bytes: at most {LARGEST_BYTES} are kept, so keep a position")
        if self.count >= MOST:
            raise ProtocolBroken(f"more than {MOST} checkpoints in one task: make one for each page, not each record")
        self.last = await self._ctx.step(_name(self.count + 1), _same, state)
        self.count += 1


def _name(number: int) -> str:
    return f"checkpoint {number}"


async def _not_kept() -> None:
    raise _NotKept


async def _same(state: Any) -> Any:
    return state
