"""Quotas on Redis: one method per script, as in `redis`."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.queue.connect import answering
from orchestrator.queue.keys import Keys
from orchestrator.queue.quotas import Full, Place, Unknown
from orchestrator.queue.records import read_ids
from orchestrator.queue.scripts import Arg, pages

_DAY_LIFE_MS = 2 * 86_400_000
"""A process whose clock is behind may still ask for yesterday."""


class RedisQuotas:
    """Keeps the promises of quotas.Quotas."""

    _commands: Redis
    _keys: Keys
    _run: Callable[[str, Sequence[str], Sequence[Arg]], Awaitable[Any]]

    async def take(self, day: str, places: Sequence[Place]) -> list[Full | None]:
        answers: list[Full | None] = []
        for page in pages(places):
            args: list[Arg] = [day]
            for place in page:
                limits = (
                    place.bounds.tasks_per_day, place.type_bounds.tasks_per_day,
                    place.bounds.queued, place.type_bounds.queued,
                )  # fmt: skip
                args += (place.task_id, place.tenant, place.type, int(place.has_to_come))
                args += ("" if limit is None else limit for limit in limits)
            word, *found = await self._run("take", (self._keys.quota,), args)
            if word == b"unknown":
                await self.give_back(day, [p for p, full in zip(places, answers, strict=False) if full is None])
                raise Unknown({Tenant(tenant.decode()) for tenant in found})
            answers += [Full(full) if full else None for full in found]
        return answers

    async def give_back(self, day: str, places: Sequence[Place]) -> None:
        for page in pages(places):
            args: list[Arg] = [day]
            for place in page:
                args += (place.task_id, place.tenant, place.type, int(place.for_the_day))
            await self._run("give_back", (self._keys.quota,), args)

    async def count_day(self, day: str, tenant: Tenant, created: Mapping[str, int]) -> None:
        args: list[Arg] = [day, tenant, _DAY_LIFE_MS]
        for each in created.items():
            args += each
        await self._run("count_day", (self._keys.quota,), args)

    async def count_waiting(self, tenant: Tenant, waiting: Mapping[TaskId, str]) -> None:
        for page in pages(list(waiting.items())):
            args: list[Arg] = [tenant, 0]
            for each in page:
                args += each
            await self._run("count_waiting", (self._keys.quota,), args)
        await self._run("count_waiting", (self._keys.quota,), (tenant, 1))

    async def uncount(self, ids: Sequence[TaskId]) -> None:
        for page in pages(ids):
            await self._run("uncount", (self._keys.quota,), page)

    async def waiting(self, tenant: Tenant) -> list[TaskId]:
        with answering():
            ids: Any = await self._commands.smembers(f"{self._keys.quota}:waiting:{tenant}")
        return sorted(TaskId(task_id.decode()) for task_id in ids)

    async def forget_counts(self, day: str, tenants: Collection[Tenant]) -> None:
        pipeline = self._commands.pipeline(transaction=True)
        pipeline.delete(*(f"{self._keys.quota}:day:{day}:{tenant}" for tenant in tenants))
        pipeline.srem(f"{self._keys.quota}:known", *tenants)
        with answering():
            await pipeline.execute()

    async def copy_profiles(self, copies: Mapping[Tenant, bytes]) -> None:
        fields: dict[Any, Any] = {**copies}
        if fields:
            with answering():
                await self._commands.hset(f"{self._keys.quota}:profiles", mapping=fields)

    async def profile_copies(self) -> dict[Tenant, bytes]:
        with answering():
            copies: Any = await self._commands.hgetall(f"{self._keys.quota}:profiles")
        return {Tenant(tenant.decode()): copy for tenant, copy in copies.items()}

    async def bound(self, ceilings: Mapping[str, int]) -> bool:
        args: list[Arg] = []
        for each in ceilings.items():
            args += each
        reply = await self._run("bound", (self._keys.quota,), args)
        return bool(reply[1])

    async def first_held(self, limit: int) -> list[TaskId]:
        quota = self._keys.quota
        with answering():
            owners: Any = sorted(await self._commands.smembers(f"{quota}:holders"))
            if not owners:
                return []
            looks = self._commands.pipeline(transaction=False)
            for owner in owners:
                looks.smembers(f"{quota}:holding:{owner.decode()}")
            queues = await looks.execute()
            looks = self._commands.pipeline(transaction=False)
            for owner, names in zip(owners, queues, strict=True):
                for name in names:
                    looks.zrange(f"{quota}:held:{owner.decode()}\0{name.decode()}", 0, limit - 1)
            pages = await looks.execute()
        return [TaskId(task_id.decode()) for page in pages for task_id in page]

    async def recount(
        self, limit: int, owners: Sequence[tuple[TaskId, Tenant, str]], *, asserted: bool
    ) -> tuple[int, list[TaskId]]:
        k = self._keys
        keys = (k.quota, k.leases, k.tasks, k.epoch, k.queue_prefix, k.pending_prefix)
        args: list[Arg] = [limit, int(asserted)]
        for each in owners:
            args += each
        reply = await self._run("recount", keys, args)
        return int(reply[1]), read_ids(reply[1:])
