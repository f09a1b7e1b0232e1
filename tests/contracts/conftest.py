"""The two queues, behind one face: every test of this folder runs against both."""

import asyncio
from typing import Protocol

import pytest
from redis.asyncio import Redis

from orchestrator.queue.keys import Keys
from orchestrator.queue.memory import MemoryQueue
from orchestrator.queue.port import Queue
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import STEP_US


class Bench(Protocol):
    """A queue, and what a test does to the world around it."""

    queue: Queue

    async def now_us(self) -> int:
        """The time by the queue's clock."""

    async def pass_ms(self, ms: int) -> None:
        """Let time pass; holds shorter than this have run out then."""

    async def empty(self) -> None:
        """What FLUSHALL does."""


class MemoryBench:
    def __init__(self) -> None:
        self._now_us = 1_763_600_000_000_000
        self.queue: Queue = self._fresh()

    def _fresh(self) -> MemoryQueue:
        return MemoryQueue(lambda: self._now_us, STEP_US)

    async def now_us(self) -> int:
        return self._now_us

    async def pass_ms(self, ms: int) -> None:
        self._now_us += ms * 1000

    async def empty(self) -> None:
        self.queue = self._fresh()


class RedisBench:
    def __init__(self, clients: tuple[Redis, Redis]) -> None:
        self._commands, blocking = clients
        self.queue: Queue = RedisQueue(self._commands, blocking, Keys(), STEP_US)

    async def now_us(self) -> int:
        seconds, microseconds = await self._commands.time()
        return seconds * 1_000_000 + microseconds

    async def pass_ms(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000 + 0.002)  # the server's clock, which no test can move

    async def empty(self) -> None:
        await self._commands.flushall()


@pytest.fixture(params=["memory", "redis"])
def either(request: pytest.FixtureRequest) -> Bench:
    return MemoryBench() if request.param == "memory" else RedisBench(request.getfixturevalue("redis_clients"))


@pytest.fixture
async def bench(either: Bench) -> Bench:
    """An empty queue with an open epoch."""
    assert await either.queue.open_epoch(1)
    return either


@pytest.fixture
def queue(bench: Bench) -> Queue:
    return bench.queue
