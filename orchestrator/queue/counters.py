"""Counters of the whole system: one hash per family, a field per combination of labels.

A worker's counts ride in settle.lua; every other process adds its own here.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from orchestrator.queue.connect import answering
from orchestrator.queue.keys import Keys


class Counters:
    """Counts that outlive the processes which made them, though not an emptied Redis."""

    def __init__(self, commands: Redis, keys: Keys) -> None:
        self._commands = commands
        self._keys = keys

    async def add(self, counts: Sequence[tuple[str, str, float]]) -> None:
        """Add (family, field, by), all or none. Raises Unavailable; they may have been added all the same."""
        pipeline = self._commands.pipeline(transaction=True)
        for family, field, by in counts:
            pipeline.hincrbyfloat(self._keys.counters(family), field, by)
        with answering():
            await pipeline.execute()

    async def read(self, family: str) -> dict[str, float]:
        """Return every field of a family. Raises Unavailable."""
        with answering():
            fields: Any = await self._commands.hgetall(self._keys.counters(family))
        return {field.decode(): float(number) for field, number in fields.items()}
