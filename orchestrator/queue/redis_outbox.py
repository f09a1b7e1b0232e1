"""The outbox on Redis: what is written while Postgres is away, in the same acts that change the queue."""

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.domain.outbox import Acceptance, Durability, Holder, KeyHold, Waiting, Write
from orchestrator.queue.connect import ANSWER_SECONDS, answering
from orchestrator.queue.disk import Disk
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import Held, Value
from orchestrator.queue.records import (
    read_held,
    read_kept,
    read_place,
    read_values,
    read_waiting,
    write_entry,
    write_hold,
    write_place,
)
from orchestrator.queue.scripts import Arg, Scripts, pages


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
        self._disk = Disk(commands, replicas)

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
            asked = self._scripts.run_then("accept", keys, args, *self._disk.questions)
            reply, synced, *copied = await self._disk.hastened(asked)
            if reply[0] == b"late":
                raise Unavailable("redis")
            self._note(reply[1])
            answers += read_kept(reply[2:])
            durability = await self._disk.judge(synced, *copied)
        return answers, durability

    async def _deadline_us(self) -> int:
        """Until when an acceptance counts, by the clock of Redis; a server that is frozen does not say."""
        with answering():
            seconds, microseconds = await self._commands.time()
        return int(seconds) * 1_000_000 + int(microseconds) + int(ANSWER_SECONDS * 1_000_000)

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

    async def append(self, lines: Sequence[tuple[TaskId, bytes]]) -> None:
        for page in pages(lines):
            args: list[Arg] = []
            for line_id, record in page:
                args += (line_id, record)
            self._note((await self._run("append", (self._keys.outbox,), args))[1])

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

    async def values(self, ids: Sequence[TaskId]) -> list[Value]:
        found: list[Value] = []
        for page in pages(ids):
            pipeline = self._commands.pipeline(transaction=False)
            for task_id in page:
                pipeline.hmget(self._keys.task(task_id), "task", "payload")
                pipeline.hgetall(self._keys.steps(task_id))
            with answering():
                rows = await pipeline.execute()
            for task_id, row, results in zip(page, rows[::2], rows[1::2], strict=True):
                found += read_values(task_id, row, results)
        return found

    async def exchange(self, changes: Sequence[tuple[Value, bytes]]) -> list[bool]:
        answers: list[bool] = []
        for page in pages(changes):
            args: list[Arg] = []
            for before, value in page:
                args += (before.task_id, before.step or "", before.value, value)
            reply = await self._run("exchange", (self._keys.tasks, self._keys.steps_prefix), args)
            answers += [answer == 1 for answer in reply[1:]]
        return answers
