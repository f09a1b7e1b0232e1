"""Whether what was written is safe in Redis: on its disk, and on as many replicas as were asked for."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.outbox import Durability
from orchestrator.queue.connect import answering
from orchestrator.queue.scripts import Arg

_DISK_MS = 1_300
"""Longer than a server that syncs every second takes, shorter than a command may."""
_COPY_MS = 300
"""Most of it has passed while the disk was waited for."""
_NO_FILE = "appendonly is disabled"
_NUDGE_SECONDS = 0.001
"""The first pause; each is twice the one before."""

T = TypeVar("T")


class Disk:
    """What has to be asked behind a write that only Redis holds, and what the answers mean."""

    def __init__(self, commands: Redis, replicas: int) -> None:
        """`replicas`: how many have to hold what is only in Redis before it counts as accepted."""
        self._commands = commands
        self._persists: bool | None = None
        self._replicas = replicas
        self.questions: list[Sequence[Arg]] = [("WAITAOF", 1, 0, _DISK_MS)]
        """Commands to be sent behind the write, over the same connection."""
        if replicas:
            self.questions.append(("WAIT", replicas, _COPY_MS))

    async def hastened(self, asked: Awaitable[T]) -> T:
        """Await what ends with the questions, which an idle server would leave unanswered for a tenth of a second.

        Its disk is done within a millisecond or a few; it looks for that only when somebody asks it something.
        """
        nudging = asyncio.create_task(self._nudge())
        try:
            return await asked
        finally:
            nudging.cancel()

    async def _nudge(self) -> None:
        pause_seconds = _NUDGE_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            await asyncio.shield(self._ping())  # one that is broken off costs its connection
            pause_seconds *= 2

    async def _ping(self) -> None:
        with suppress(RedisError, TimeoutError):
            await self._commands.ping()

    async def judge(self, synced: Any, *copied: Any) -> Durability:
        """Say where a write is, from what the questions were answered. Raises Unavailable for nowhere safe yet."""
        self._check_copies(copied)
        if not isinstance(synced, RedisError):
            if synced[0] < 1:
                raise Unavailable("redis")
            return Durability.REDIS
        try:
            with answering():
                raise synced
        except ResponseError as refusal:
            if _NO_FILE in str(refusal):
                return Durability.MEMORY
        return await self._configured()

    def _check_copies(self, copied: Sequence[Any]) -> None:
        """Raise Unavailable when too few replicas hold what was written: a failover now may lose it."""
        for count in copied:
            with answering():
                if isinstance(count, RedisError):
                    raise count
            if count < self._replicas:
                raise Unavailable("redis")

    async def _configured(self) -> Durability:
        """Where writes end up on a server that knows no WAITAOF (before Redis 7.2), or lets us not use it."""
        if self._persists is None:
            self._persists = True
            with suppress(ResponseError), answering():
                self._persists = bool((await self._commands.info("persistence")).get("aof_enabled", 1))
        return Durability.REDIS if self._persists else Durability.MEMORY
