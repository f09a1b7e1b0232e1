"""Rates on Redis: one moment for each, moved in one act by its own clock. An emptied Redis has them all unused."""

from collections.abc import Sequence

from redis.asyncio import Redis

from orchestrator.domain.rate import Rate, Verdict
from orchestrator.queue.keys import Keys
from orchestrator.queue.scripts import Arg, Scripts


class Rates:
    """What every process counts together; `domain.rate` is the reference model."""

    def __init__(self, commands: Redis, keys: Keys) -> None:
        self._keys = keys
        self._run = Scripts(commands).run

    async def admit(self, rates: Sequence[Rate]) -> tuple[bool, list[Verdict]]:
        """Let a request pass if all of its rates allow it, and say how they stand. Raises Unavailable."""
        args: list[Arg] = []
        for rate in rates:
            args += (rate.key, rate.interval_us, rate.capacity_us)
        word, *verdicts = await self._run("admit", (self._keys.rate,), args)
        return word == b"passed", [Verdict(*verdict) for verdict in verdicts]
