"""Who is there: the workers alive now, and which process leads the chores.

A worker that stops announcing itself is gone after its time to live. Leading only avoids double work: every
chore is safe when two processes lead for a moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from redis.asyncio import Redis

from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.queue.connect import answering
from orchestrator.queue.keys import Keys
from orchestrator.queue.scripts import Scripts


@dataclass(frozen=True, slots=True)
class WorkerCard:
    """What a worker says of itself."""

    id: WorkerId
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    """Empty: it serves all of them."""
    concurrency: int
    started_at: datetime
    running: tuple[TaskId, ...] = ()


class Presence:
    """Every method raises Unavailable when Redis is away."""

    def __init__(self, commands: Redis, keys: Keys) -> None:
        self._commands = commands
        self._keys = keys
        self._run = Scripts(commands).run

    async def announce(self, card: WorkerCard, ttl_ms: int) -> None:
        """Say that this worker is alive for so long."""
        key = self._keys.worker(card.id)
        pipeline = self._commands.pipeline(transaction=True)
        pipeline.hset(key, mapping=_fields(card))
        pipeline.pexpire(key, ttl_ms)
        pipeline.sadd(self._keys.workers, card.id)
        with answering():
            await pipeline.execute()

    async def leave(self, worker: WorkerId) -> None:
        pipeline = self._commands.pipeline(transaction=True)
        pipeline.delete(self._keys.worker(worker))
        pipeline.srem(self._keys.workers, worker)
        with answering():
            await pipeline.execute()

    async def workers(self) -> list[WorkerCard]:
        """Return the living ones by id, and forget the others."""
        with answering():
            members: Any = await self._commands.smembers(self._keys.workers)
            ids = sorted(WorkerId(member.decode()) for member in members)
            pipeline = self._commands.pipeline(transaction=False)
            for worker in ids:
                pipeline.hgetall(self._keys.worker(worker))
            found: Sequence[dict[bytes, bytes]] = await pipeline.execute()
            gone = [worker for worker, fields in zip(ids, found, strict=True) if not fields]
            if gone:
                await self._commands.srem(self._keys.workers, *gone)
        return [_card(worker, fields) for worker, fields in zip(ids, found, strict=True) if fields]

    async def lead(self, holder: str, hold_ms: int) -> bool:
        """Become the leader, or stay it, for so long; False while another one leads."""
        reply = await self._run("lead", (self._keys.leader,), (holder, hold_ms))
        return bool(reply[0] == b"leads")

    async def step_down(self, holder: str) -> None:
        """Stop leading, if this one does, so that another need not wait."""
        await self._run("step_down", (self._keys.leader,), (holder,))


def _fields(card: WorkerCard) -> dict[Any, Any]:
    return {
        "host": card.host,
        "pid": card.pid,
        "version": card.version,
        "queues": orjson.dumps(card.queues),
        "concurrency": card.concurrency,
        "started_at": card.started_at.isoformat(),
        "running": orjson.dumps(card.running),
    }


def _card(worker: WorkerId, fields: dict[bytes, bytes]) -> WorkerCard:
    return WorkerCard(
        id=worker,
        host=fields[b"host"].decode(),
        pid=int(fields[b"pid"]),
        version=fields[b"version"].decode(),
        queues=tuple(orjson.loads(fields[b"queues"])),
        concurrency=int(fields[b"concurrency"]),
        started_at=datetime.fromisoformat(fields[b"started_at"].decode()),
        running=tuple(orjson.loads(fields[b"running"])),
    )
