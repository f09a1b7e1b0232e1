"""The queue on Redis: one method per script, one script per atomic act. `redis_outbox` stands in for Postgres.

Calls over very many tasks are cut into pages, each an act of its own, so that Redis is never held long.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from orchestrator.domain.ids import Fence, TaskId, WorkerId
from orchestrator.domain.outbox import NO_KEYS, Holder, KeyHold
from orchestrator.domain.priority import score
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry, Settlement
from orchestrator.queue.connect import ANSWER_SECONDS, answering, ask_at_once, patience
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import PAGE, EpochMissing, Live, Popped, QueueFigures, QueuePaused, Standing
from orchestrator.queue.records import (
    LIVE_FIELDS,
    read_claims,
    read_ids,
    read_kept,
    read_live,
    read_taken_over,
    write_entry,
    write_hold,
    write_record,
)
from orchestrator.queue.redis_outbox import RedisOutbox
from orchestrator.queue.redis_quotas import RedisQuotas
from orchestrator.queue.scripts import Arg, call, pages

TOMBSTONE_MS = 60_000
"""Longer than any worker goes without a beat: after that it cannot hold a lease that was dropped."""
_WAITING = frozenset({State.RETRYING, State.QUEUED})


class RedisQueue(RedisOutbox, RedisQuotas):
    """Keeps the promises of port.Queue; `memory.MemoryQueue` is its reference model."""

    def __init__(self, commands: Redis, blocking: Redis, keys: Keys, step_us: int, replicas: int = 0) -> None:
        super().__init__(commands, keys, step_us, replicas)
        self._blocking = blocking

    async def enqueue(self, entries: Sequence[Entry], keys: Mapping[TaskId, KeyHold] = NO_KEYS) -> list[bool | Holder]:
        answers: list[bool | Holder] = []
        for page in pages(entries):
            args: list[Arg] = [self._step_us]
            if keys:
                for entry in page:
                    args += write_entry(entry)
                    args += write_hold(entry.id, keys.get(entry.id))
                reply = await self._run("remember", (*self._keys.order, self._keys.key_prefix), args)
            else:
                for entry in page:
                    args += write_entry(entry)
                reply = await self._run("enqueue", self._keys.order, args)
            answers += read_kept(reply[1:])
        return answers

    async def pop(self, queues: Sequence[str], timeout_seconds: float) -> Popped | None:
        keys = [self._keys.queue(name) for name in queues]
        with answering():
            async with asyncio.timeout(timeout_seconds + ANSWER_SECONDS):
                return self._popped(await self._blocking.bzpopmin(keys, timeout_seconds))

    async def pop_and_claim(
        self, worker: WorkerId, queues: Sequence[str], limit: int, hold_ms: int, timeout_seconds: float
    ) -> tuple[Popped | None, list[Claim]]:
        keys = [self._keys.queue(name) for name in queues]
        claim = call("claim", self._keys.claiming, (worker, min(limit, PAGE), hold_ms, "*", *queues))
        with answering():
            async with patience(timeout_seconds + ANSWER_SECONDS):
                reply, answer = await ask_at_once(self._blocking, ("BZPOPMIN", *keys, timeout_seconds), claim)
            if isinstance(reply, RedisError):
                raise reply
        # A server that refused, or forgot the script, says so again when it is asked for the popped task alone.
        claimed = not isinstance(answer, RedisError) and answer[0] == b"claimed"
        return self._popped(reply), read_claims(answer, worker, self._step_us) if claimed else []

    def _popped(self, reply: Any) -> Popped | None:
        return None if reply is None else Popped(self._keys.queue_name(reply[0]), TaskId(reply[1].decode()))

    async def claim(
        self, worker: WorkerId, queue: str, limit: int, hold_ms: int, popped: TaskId | None = None
    ) -> list[Claim]:
        args = (worker, min(limit, PAGE), hold_ms, popped or "", queue)
        reply = await self._run("claim", self._keys.claiming, args)
        if reply[0] == b"paused":
            raise QueuePaused(queue)
        return read_claims(_with_epoch(reply), worker, self._step_us)

    async def extend(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]], hold_ms: int) -> list[TaskId]:
        k = self._keys
        lost: list[TaskId] = []
        for page in pages(held):
            args: list[Arg] = [worker, hold_ms]
            for lease in page:
                args += lease
            lost += read_ids(await self._run("extend", (k.leases, k.epoch, k.tasks, k.lock), args))
        return lost

    async def settle(
        self,
        worker: WorkerId,
        endings: Sequence[Settlement],
        counts: Sequence[tuple[str, str, float]] = (),
        records: Sequence[bytes] = (),
    ) -> list[bool]:
        if not endings and not counts:
            return []
        k = self._keys
        keys = (
            k.leases, k.scheduled, k.queue_prefix, k.pending_prefix, k.queues, k.epoch, k.control, k.tasks, k.lock,
            k.live, k.counters_prefix, k.outbox, k.steps_prefix, k.quota,
        )  # fmt: skip
        args: list[Arg] = [worker, len(endings), len(records)]
        kept: list[Arg] = []
        for ending in endings:
            claim, state = ending.claim, ending.state
            size = self._keep(ending, kept) if records or state in _WAITING else 0
            args += (claim.entry.id, claim.fence, state, ending.attempt, size)
        args += records
        args += kept
        for count in counts:
            args += count
        return self._noted(await self._run("settle", keys, args))

    def _keep(self, ending: Settlement, kept: list[Arg]) -> int:
        claim, entry, state = ending.claim, ending.claim.entry, ending.state
        record = write_record(entry, ending.attempt, ending.crashes)
        delay: Arg = "over"
        if state in _WAITING:
            delay = ending.delay_us or 0 if state is State.RETRYING else ""
        place = score(entry.ready_at_us or claim.claimed_at_us, entry.priority, self._step_us)
        kept += (entry.queue, delay, place, *record)
        return len(record)

    async def take_over(self, worker: WorkerId, limit: int, hold_ms: int) -> tuple[list[Claim], list[TaskId]]:
        k = self._keys
        keys = (k.leases, k.epoch, k.tasks, k.lock, k.quota, k.queue_prefix, k.pending_prefix)
        reply = await self._run("take_over", keys, (worker, min(limit, PAGE), hold_ms))
        return read_taken_over(_with_epoch(reply), worker, self._step_us)

    async def promote(self, limit: int) -> list[TaskId]:
        k = self._keys
        keys = (k.scheduled, k.queue_prefix, k.pending_prefix, k.queues, k.control, k.tasks)
        return read_ids(await self._run("promote", keys, (self._step_us, limit)))

    async def put_back(self, limit: int) -> list[TaskId]:
        k = self._keys
        return read_ids(await self._run("put_back", (k.queues, k.queue_prefix, k.pending_prefix), (limit,)))

    async def drop(self, ids: Sequence[TaskId]) -> None:
        k = self._keys
        keys = (
            k.scheduled, k.queue_prefix, k.pending_prefix, k.leases, k.control, k.tasks, k.lock, k.steps_prefix,
            k.quota,
        )  # fmt: skip
        for page in pages(ids):
            await self._run("drop", keys, (TOMBSTONE_MS, *page))

    async def forget(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
        k = self._keys
        gone: list[TaskId] = []
        for page in pages(held):
            args: list[Arg] = [worker]
            for lease in page:
                args += lease
            keys = (k.leases, k.tasks, k.lock, k.steps_prefix, k.quota, k.queue_prefix, k.pending_prefix)
            gone += read_ids(await self._run("forget", keys, args))
        return gone

    async def mint(self) -> Fence:
        return Fence(_with_epoch(await self._run("mint", (self._keys.epoch,), ()))[1])

    async def open_epoch(self, epoch: int) -> bool:
        reply = await self._run("open_epoch", (self._keys.epoch,), (epoch,))
        return bool(reply[0] == b"opened")

    async def epoch(self) -> int | None:
        reply = await self._run("epoch", (self._keys.epoch,), ())
        return int(reply[1]) if reply[0] == b"open" else None

    async def missing(self, ids: Sequence[TaskId]) -> list[TaskId]:
        k, gone = self._keys, list[TaskId]()
        keys = (k.pending_prefix, k.scheduled, k.leases, k.tasks, k.lock, k.quota)
        for page in pages(ids):
            gone += read_ids(await self._run("missing", keys, page))
        return gone

    async def leased(self) -> list[TaskId]:
        with answering():
            ids: Any = await self._commands.zrange(self._keys.leases, 0, -1)
        return [TaskId(task_id.decode()) for task_id in ids]

    async def pending(self, queue: str, first: int, limit: int) -> list[TaskId]:
        with answering():
            ids: Any = await self._commands.zrange(self._keys.pending(queue), first, first + limit - 1)
        return [TaskId(task_id.decode()) for task_id in ids]

    async def live(self, ids: Sequence[TaskId]) -> dict[TaskId, Live]:
        found: dict[TaskId, Live] = {}
        for page in pages(ids):
            pipeline = self._commands.pipeline(transaction=False)
            for task_id in page:
                pipeline.hmget(self._keys.task(task_id), LIVE_FIELDS)
            with answering():
                rows = await pipeline.execute()
            lives = ((task_id, read_live(row)) for task_id, row in zip(page, rows, strict=True))
            found |= {task_id: live for task_id, live in lives if live is not None}
        return found

    async def standing(self, task_id: TaskId) -> Standing:
        k = self._keys
        reply = await self._run("standing", (k.scheduled, k.pending_prefix, k.paused, k.tasks, k.quota), (task_id,))
        if reply[0] == b"unknown":
            return Standing(live=None, queue=None, rank=None, due_in_us=None, paused=False)
        _, queue, paused, rank, due_in_us, live, full = reply
        held_by = None if full is None else full.decode()
        return Standing(read_live(live), queue.decode(), rank, due_in_us, paused == 1, held_by)

    async def pause(self, queue: str) -> None:
        with answering():
            await self._commands.sadd(self._keys.paused, queue)

    async def resume(self, queue: str) -> None:
        k = self._keys
        await self._run("resume", (k.paused, k.control), (queue,))

    async def queues(self) -> list[QueueFigures]:
        k = self._keys
        keys = (k.queues, k.paused, k.leases, k.pending_prefix, k.tasks, k.quota)
        reply = await self._run("queues", keys, (self._step_us,))
        return sorted(
            (
                QueueFigures(name.decode(), depth, oldest_us, running, paused == 1, held)
                for name, depth, oldest_us, running, paused, held in reply[1:]
            ),
            key=lambda figures: figures.name,
        )

    async def names(self) -> list[str]:
        with answering():
            names: Any = await self._commands.smembers(self._keys.queues)
        return sorted(name.decode() for name in names)

    async def depth(self, queue: str) -> int:
        with answering():
            return int(await self._commands.zcard(self._keys.pending(queue)))

    async def ping(self) -> None:
        with answering():
            await self._commands.hdel(self._keys.epoch, "")  # a write: a replica answers to PING, too


def _with_epoch(reply: Sequence[Any]) -> Sequence[Any]:
    if reply[0] == b"no_epoch":
        raise EpochMissing
    return reply
