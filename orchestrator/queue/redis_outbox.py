"""The outbox on Redis: what is written while Postgres is away, in the same acts that change the queue."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.domain.outbox import Acceptance, Durability, Holder, KeyHold, Waiting, Write
from orchestrator.queue.connect import ANSWER_SECONDS, answering
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import Held
from orchestrator.queue.records import (
    read_held,
    read_kept,
    read_place,
    read_waiting,
    write_entry,
    write_hold,
    write_place,
)
from orchestrator.queue.scripts import Arg, Scripts, pages

_DISK_MS = 1_300
"""Longer than a server that syncs every second takes, shorter than a command may."""
_COPY_MS = 300
"""Most of it has passed while the disk was waited for."""
_NO_FILE = "appendonly is disabled"


class RedisOutbox:
    """Keeps the promises of port.Outbox."""

    def __init__(self, commands: Redis, keys: Keys, step_us: int, replicas: int) -> None:
        """`replicas`: how many have to hold what is only in Redis before it counts as accepted."""
        self._commands = commands
        self._keys = keys
        self._step_us = step_us
        self._scripts = Scripts(commands)
        self._run = self._scripts.run
        self._appended = ""
        self._persists: bool | None = None
        self._replicas = replicas
        self._waits: list[Sequence[Arg]] = [("WAITAOF", 1, 0, _DISK_MS)]
        if replicas:
            self._waits.append(("WAIT", replicas, _COPY_MS))

    async def accept(self, acceptances: Sequence[Acceptance]) -> tuple[list[bool | Holder], Durability]:
        keys = (*self._keys.order, self._keys.key_prefix, self._keys.outbox)
        answers: list[bool | Holder] = []
        durability = Durability.REDIS
        for page in pages(acceptances):
            args: list[Arg] = [self._step_us, await self._deadline_us()]
            for each in page:
                args += write_entry(each.entry)
                args += write_hold(each.entry.id, each.key)
                args += (each.record, each.withdrawal or b"")
            reply, synced, *copied = await self._scripts.run_then("accept", keys, args, *self._waits)
            if reply[0] == b"late":
                raise Unavailable("redis")
            self._note(reply[1])
            self._check_copies(copied)
            answers += read_kept(reply[2:])
            durability = await self._durability(synced)
        return answers, durability

    async def _deadline_us(self) -> int:
        """Until when an acceptance counts, by the clock of Redis; a server that is frozen does not say."""
        with answering():
            seconds, microseconds = await self._commands.time()
        return int(seconds) * 1_000_000 + int(microseconds) + int(ANSWER_SECONDS * 1_000_000)

    def _check_copies(self, copied: Sequence[Any]) -> None:
        """Raise Unavailable when too few replicas hold what was written: a failover now may lose it."""
        for count in copied:
            with answering():
                if isinstance(count, RedisError):
                    raise count
            if count < self._replicas:
                raise Unavailable("redis")

    async def _durability(self, synced: Any) -> Durability:
        """Say where a script's writes are, from what WAITAOF answered behind it. Raises Unavailable for nowhere yet."""
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

    async def _configured(self) -> Durability:
        """Where writes end up on a server that knows no WAITAOF (before Redis 7.2), or lets us not use it."""
        if self._persists is None:
            self._persists = True
            with suppress(ResponseError), answering():
                self._persists = bool((await self._commands.info("persistence")).get("aof_enabled", 1))
        return Durability.REDIS if self._persists else Durability.MEMORY

    async def reserve(self, keys: Mapping[TaskId, KeyHold]) -> dict[TaskId, Holder]:
        k = self._keys
        held: dict[TaskId, Holder] = {}
        for page in pages(list(keys.items())):
            args: list[Arg] = []
            for task_id, key in page:
                args += (task_id, *write_hold(task_id, key))
            reply = await self._run("reserve", (k.tasks, k.key_prefix), args)
            answers = zip(page, read_kept(reply[1:]), strict=True)
            held |= {task_id: answer for (task_id, _), answer in answers if isinstance(answer, Holder)}
        return held

    async def record(self, worker: WorkerId, writes: Sequence[Write]) -> list[bool]:
        k = self._keys
        answers: list[bool] = []
        for page in pages(writes):
            args: list[Arg] = [worker]
            for each in page:
                args += (each.kind.value, each.task_id, each.fence, each.record, *(each.step or ("", b"")))
            reply = await self._run("record", (k.epoch, k.tasks, k.lock, k.outbox, k.steps_prefix), args)
            answers += self._noted(reply)
        return answers

    def _noted(self, reply: Sequence[Any]) -> list[bool]:
        """Read a reply that names the last record's place behind its word."""
        self._note(reply[1])
        return [answer == 1 for answer in reply[2:]]

    def _note(self, stream_id: bytes) -> None:
        if stream_id:
            self._appended = max(self._appended, read_place(stream_id))

    async def outbox(self, limit: int) -> list[Waiting]:
        with answering():
            entries: Any = await self._commands.xrange(self._keys.outbox, count=limit)
        return [read_waiting(stream_id, fields) for stream_id, fields in entries]

    async def applied(self, records: Sequence[Waiting]) -> None:
        k = self._keys
        for page in pages(records):
            args: list[Arg] = []
            for each in page:
                args += (write_place(each.place), each.kind.value, each.task_id, each.fence, each.key)
            await self._run("applied", (k.outbox, k.tasks, k.steps_prefix, k.key_prefix), args)

    async def outbox_depth(self) -> int:
        with answering():
            return int(await self._commands.xlen(self._keys.outbox))

    def appended(self) -> str:
        return self._appended

    async def held(self, task_id: TaskId) -> Held | None:
        k = self._keys
        reply = await self._run("held", (k.scheduled, k.pending_prefix, k.tasks, k.outbox, k.quota), (task_id,))
        return read_held(reply, task_id, self._step_us)

    async def steps(self, task_id: TaskId) -> dict[str, bytes]:
        with answering():
            results: Any = await self._commands.hgetall(self._keys.steps(task_id))
        return {name.decode(): result for name, result in results.items()}
