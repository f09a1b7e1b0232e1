"""The two stores of a simulated system, and all that can happen to them."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from orchestrator.domain.ids import TaskId
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.states import FINAL
from orchestrator.queue.memory import MemoryQueue
from tests.simulation.loop import Lane, SimulationLoop
from tests.simulation.memory_rows import Tables
from tests.simulation.network import Store
from tests.simulation.process import START_US, SimulatedClock

STEP_US = 500_000


class RedisStore(Store):
    """The memory queue, the leader's lock beside it, and the clients that wait in it."""

    def __init__(self, loop: SimulationLoop) -> None:
        super().__init__("redis")
        self._loop = loop
        self._lane = Lane("redis")
        self._waiters: dict[asyncio.Task[Any], None] = {}
        """In order, as a set of tasks is not."""
        self.leader: tuple[str, int] | None = None
        self.queue = self._fresh()
        self.emptied = 0
        """How often it forgot something."""

    def _fresh(self) -> MemoryQueue:
        return MemoryQueue(self.now_us, STEP_US)

    def now_us(self) -> int:
        return START_US + self._loop.now_us

    def outbox_has(self, task_id: TaskId) -> bool:
        """Whether the insert of a task waits for Postgres."""
        waiting = self.queue._outbox.values()
        return any(each.task_id == task_id and each.kind is RecordKind.INSERT for each in waiting)

    def ended_in_outbox(self, task_id: TaskId) -> bool:
        record = self.queue._records.get(task_id)
        return record is not None and record.status in FINAL

    @property
    def owes(self) -> bool:
        """Whether it holds what Postgres does not: only a second fault could lose that."""
        return bool(self.queue._outbox)

    def wait(self, work: Any, done: Callable[[asyncio.Task[Any]], None]) -> asyncio.Task[Any]:
        """Serve a client that waits here, until it has its answer or its connection ends."""
        waiter = self._loop.create_task(work, context=self._lane.context.copy())
        self._waiters[waiter] = None
        waiter.add_done_callback(self._waiters.pop, context=self._lane.context)
        waiter.add_done_callback(done, context=self._lane.context)
        return waiter

    def hang_up(self) -> None:
        """End the connections of all who wait."""
        for waiter in list(self._waiters):
            waiter.cancel()

    def flush(self) -> None:
        self.emptied += 1
        self.queue = self._fresh()
        self.leader = None
        self.hang_up()

    def restart(self) -> None:
        """With everything on its disk, under another run id: no epoch is valid any more."""
        self.queue._epoch = 0
        self.hang_up()

    def snapshot(self) -> MemoryQueue:
        memo: dict[int, Any] = {id(self): self, id(self.queue._arrived): asyncio.Event()}
        return copy.deepcopy(self.queue, memo)

    def fail_over(self, replica: MemoryQueue) -> None:
        """To a replica that had not heard the last writes."""
        self.emptied += 1
        self.queue = replica
        self.restart()

    def lead(self, holder: str, hold_ms: int) -> bool:
        now = self._loop.now_us
        if self.leader is not None and self.leader[1] > now and self.leader[0] != holder:
            return False
        self.leader = (holder, now + hold_ms * 1000)
        return True

    def step_down(self, holder: str) -> None:
        if self.leader is not None and self.leader[0] == holder:
            self.leader = None


class PostgresStore(Store):
    """The tables of the memory ledger. What it has committed it keeps."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__("postgres")
        self.tables = Tables(clock.now)
