"""The reading side of the reference model: what it holds, and where each task stands."""

from collections.abc import Sequence

from orchestrator.domain.ids import TaskId
from orchestrator.queue.memory_quotas import MemoryQuotas
from orchestrator.queue.memory_state import leading
from orchestrator.queue.port import Live, QueueFigures, Standing


class MemoryReading(MemoryQuotas):
    async def missing(self, ids: Sequence[TaskId]) -> list[TaskId]:
        return [task_id for task_id in ids if task_id not in self._records and not self._leases.locked(task_id)]

    async def leased(self) -> list[TaskId]:
        return [task_id for task_id, _ in leading(self._leases.deadlines, len(self._leases.deadlines))]

    async def pending(self, queue: str, first: int, limit: int) -> list[TaskId]:
        return [task_id for task_id, _ in leading(self._pending[queue], first + limit)[first:]]

    async def live(self, ids: Sequence[TaskId]) -> dict[TaskId, Live]:
        return {task_id: self._records[task_id].live for task_id in ids if task_id in self._records}

    async def standing(self, task_id: TaskId) -> Standing:
        record = self._records.get(task_id)
        if record is None:
            return Standing(live=None, queue=None, rank=None, due_in_us=None, paused=False)
        queue, due = record.entry.queue, self._scheduled.get(task_id)
        order = [waiting for waiting, _ in leading(self._pending[queue], len(self._pending[queue]))]
        rank = order.index(task_id) if task_id in order else None
        due_in_us = None if due is None else max(0, due - self._now_us())
        held = self._held_at(task_id)
        return Standing(record.live, queue, rank, due_in_us, queue in self._paused, held[1] if held else None)

    async def queues(self) -> list[QueueFigures]:
        leased = [self._records[task_id].entry.queue for task_id in self._leases.deadlines if task_id in self._records]
        figures = []
        for name in sorted(self._names | self._paused):
            oldest = 0
            for task_id, place in leading(self._pending[name], 1):
                ready = place - self._records[task_id].entry.priority * self._step_us
                oldest = max(0, self._now_us() - ready)
            depth = len(self._pending[name])
            held = sum(len(places) for (_, queue), places in self._held.items() if queue == name)
            running = leased.count(name)
            figures.append(QueueFigures(name, depth, oldest, running, name in self._paused, held))
        return figures

    async def names(self) -> list[str]:
        return sorted(self._names)

    async def depth(self, queue: str) -> int:
        return len(self._pending[queue])

    async def ping(self) -> None:
        return
