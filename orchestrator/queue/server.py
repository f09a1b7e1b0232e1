"""What this Redis is: whether it answers, keeps what it is given, and takes writes.

Hosted servers refuse INFO and CONFIG, or trim their answers. What a server does not say is unknown, and no fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from orchestrator.domain.errors import RedisEvicts
from orchestrator.queue.connect import answering

_SAFE_POLICY = "noeviction"
_SECTIONS = ("server", "replication", "memory", "persistence")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself."""

    version: str
    """Empty: unknown, as for the others None."""
    is_replica: bool
    eviction_policy: str | None
    logs_writes: bool | None
    """An append-only file: what it holds outlives a restart, all but the last second."""
    takes_snapshots: bool | None

    @property
    def evicts(self) -> bool:
        """Whether it may throw keys away, and tasks with them, when its memory is full."""
        return self.eviction_policy not in (None, _SAFE_POLICY)

    @property
    def mends(self) -> str:
        """What is wrong with it and has to be mended; empty when nothing is."""
        if self.evicts:
            return str(RedisEvicts(str(self.eviction_policy)))
        return "it is a replica: what is written here is refused or lost" if self.is_replica else ""

    @property
    def loses(self) -> str:
        """What a restart of it loses; empty when nothing, or when nobody knows."""
        if self.logs_writes is not False or self.takes_snapshots is None:
            return ""
        if self.takes_snapshots:
            return "snapshots only: tasks accepted since the last one while Postgres is away would be lost with it"
        return "no persistence: tasks accepted while Postgres is away would be lost with it"


class RedisServer:
    """The server behind the clients."""

    def __init__(self, commands: Redis) -> None:
        self._commands = commands

    async def facts(self) -> ServerFacts:
        """Ask it, in one round trip. Raises Unavailable."""
        pipeline = self._commands.pipeline(transaction=False)
        pipeline.ping()
        for section in _SECTIONS:
            pipeline.info(section)
        pipeline.config_get("save")
        with answering():
            pong, *said = await pipeline.execute(raise_on_error=False)
            if isinstance(pong, Exception) and not isinstance(pong, NoPermissionError):
                raise pong  # it has no disk to write to, for one
        *sections, configured = (_told(each) for each in said)
        told = {name: value for section in sections for name, value in section.items()}
        return ServerFacts(
            version=str(told.get("redis_version", "")),
            is_replica=told.get("role") == "slave",
            eviction_policy=told.get("maxmemory_policy"),
            logs_writes=bool(told["aof_enabled"]) if "aof_enabled" in told else None,
            takes_snapshots=_takes_snapshots(told, configured),
        )

    async def refuse_eviction(self) -> None:
        """Raise RedisEvicts when it says that it may throw tasks away; Unavailable when it does not answer."""
        facts = await self.facts()
        if facts.evicts:
            raise RedisEvicts(str(facts.eviction_policy))


def _told(reply: Any) -> Mapping[Any, Any]:
    return reply if isinstance(reply, dict) else {}


def _takes_snapshots(told: Mapping[str, Any], configured: Mapping[Any, Any]) -> bool | None:
    schedule = configured.get("save", configured.get(b"save"))
    if schedule is not None:
        return bool(schedule)
    return True if told.get("rdb_saves") else None
