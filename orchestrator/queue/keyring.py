"""API keys in Redis: what recognises a caller while Postgres is away, and what ends a key at once in every process.

A copy may be old. An end is not: it only moves to earlier, it is read together with the copy, and it counts more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from orchestrator.domain.outbox import Durability
from orchestrator.queue.connect import answering
from orchestrator.queue.disk import Disk
from orchestrator.queue.keys import Keys
from orchestrator.queue.scripts import Scripts

REVOKED = datetime.fromtimestamp(0, UTC)
"""When a revoked key ends: so long ago that no process whose clock is behind lets it in."""
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What Redis has of a key."""

    copy: bytes | None
    ends_at: datetime | None


class Keyring:
    """Every method raises Unavailable when Redis is away."""

    def __init__(self, commands: Redis, keys: Keys, replicas: int = 0) -> None:
        self._commands = commands
        self._known, self._ended, self._owed = (keys.api_keys(what) for what in ("known", "ended", "owed"))
        self._scripts = Scripts(commands)
        self._disk = Disk(commands, replicas)

    async def look(self, key_id: str) -> Remembered:
        """Return what is known of a key, in one round trip."""
        pipeline = self._commands.pipeline(transaction=False)
        pipeline.hget(self._known, key_id)
        pipeline.hget(self._ended, key_id)
        with answering():
            copy, ends_at = await pipeline.execute()
        return Remembered(copy, None if ends_at is None else _moment(ends_at))

    async def remember(self, copies: Mapping[str, bytes]) -> None:
        """Keep copies of keys, in place of older ones."""
        with answering():
            await self._commands.hset(self._known, mapping=dict[Any, Any](copies))

    async def end(self, key_id: str, at: datetime) -> None:
        """Let a key open nothing from this moment on: Postgres says the same. REVOKED is at once, by any clock."""
        await self._scripts.run("end_key", (self._ended, self._owed), (key_id, _microseconds(at), ""))

    async def revoke(self, key_id: str, at: datetime) -> Durability:
        """End a key before Postgres has heard of it: it is `owed` until it is `paid`. Says where that is kept."""
        keys, args = (self._ended, self._owed), (key_id, _microseconds(REVOKED), _microseconds(at))
        asked = self._scripts.run_then("end_key", keys, args, *self._disk.questions)
        _, *answers = await self._disk.hastened(asked)
        return await self._disk.judge(*answers)

    async def owed(self) -> dict[str, datetime]:
        """Return when keys were revoked of which Postgres has not heard."""
        return await self._moments(self._owed)

    async def paid(self, ids: Sequence[str]) -> None:
        """Postgres has heard of these."""
        with answering():
            await self._commands.hdel(self._owed, *ids)

    async def ended(self) -> dict[str, datetime]:
        """Return every end that is kept."""
        return await self._moments(self._ended)

    async def copies(self, place: int, limit: int) -> tuple[int, dict[str, bytes]]:
        """Return about `limit` copies from a place on, and the place behind them; 0 is first, and behind the last."""
        with answering():
            reply: Any = await self._commands.hscan(self._known, place, count=limit)
        place, found = reply
        return int(place), {key_id.decode(): copy for key_id, copy in found.items()}

    async def forget(self, ids: Sequence[str]) -> None:
        """Let go of keys that Postgres alone need know; nobody looks them up with what he read before."""
        pipeline = self._commands.pipeline(transaction=True)
        pipeline.hdel(self._known, *ids)
        pipeline.hdel(self._ended, *ids)
        with answering():
            await pipeline.execute()

    async def _moments(self, key: str) -> dict[str, datetime]:
        with answering():
            found: Any = await self._commands.hgetall(key)
        return {key_id.decode(): _moment(at) for key_id, at in found.items()}


def _microseconds(at: datetime) -> int:
    return (at - REVOKED) // _MICROSECOND


def _moment(text: bytes) -> datetime:
    return REVOKED + int(text) * _MICROSECOND
