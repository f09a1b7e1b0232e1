"""Submitting: how a request becomes a task that is kept, and is answered.

Requests made at about the same time share one statement and one script call; `keep` says where they are kept.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.batching import Batcher
from orchestrator.domain.errors import (
    AureaError,
    InvalidInput,
    KeyConflict,
    NotFound,
    QueueFull,
    QuotaExceeded,
    SealBroken,
    SealKeyMissing,
    Unavailable,
)
from orchestrator.domain.ids import TaskId
from orchestrator.domain.outbox import Durability
from orchestrator.domain.task import NewTask, Task
from orchestrator.ledger.postgres import Existing
from orchestrator.operations import read
from orchestrator.operations.doubt import asked_again, doubt
from orchestrator.operations.keep import ANSWER_SECONDS, Kept, keep
from orchestrator.operations.quota import Admission, admit, repeats
from orchestrator.operations.recall import fresh
from orchestrator.operations.request import Origin, TaskRequest, accept
from orchestrator.operations.seal import open_task, seal_task
from orchestrator.runtime import Runtime
from orchestrator.vault.vault import is_plain

_STATEMENT_ROWS = 500
_LANES = 2
_READS_AT_ONCE = 8
"""Of one request: fewer than the connections that a process has to Postgres."""
_UNDER_WAY_SECONDS = 0.1
"""By then, what had a key when another was refused is in Postgres."""


@dataclass(slots=True)
class Receipt:
    """The answer to a request that was kept."""

    task: Task
    replayed: bool
    """True when the same key with the same body was seen before: `task` is the one from then."""
    durability: Durability = Durability.POSTGRES
    """Where a new task was kept."""


Answer = Receipt | AureaError
Outcome = Kept | Existing | AureaError
"""What became of a task in its batch."""


class Intake:
    """The one way in. Start it inside the loop that uses it; `stop` drains it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._batcher: Batcher[list[NewTask], list[Outcome]] = Batcher(
            self._store_all, size=_STATEMENT_ROWS, lanes=_LANES, weigh=len
        )
        self._last_turn: asyncio.Future[None] | None = None

    def start(self) -> None:
        self._batcher.start()

    async def stop(self) -> None:
        await self._batcher.stop()

    async def submit(self, request: TaskRequest, origin: Origin) -> Receipt:
        """Return once the task is committed. Raises InvalidInput and its kinds, QueueFull, QuotaExceeded,
        TooLarge or Unavailable.
        """
        (answer,) = await self._kept([self._accepted(request, origin)])
        if isinstance(answer, AureaError):
            raise answer
        return answer

    async def submit_many(self, requests: Sequence[TaskRequest | InvalidInput], origin: Origin) -> list[Answer]:
        """Answer each request in its place; one that was refused keeps none of the others out.

        Raises Unavailable when nothing could be stored.
        """
        answers: dict[int, Answer] = {}
        accepted: list[tuple[int, NewTask]] = []
        for place, request in enumerate(requests):
            try:
                if isinstance(request, InvalidInput):
                    raise request
                accepted.append((place, self._accepted(request, origin)))
            except AureaError as error:
                answers[place] = error
        if accepted:
            stored = await self._kept([task for _, task in accepted])
            answers.update(zip((place for place, _ in accepted), stored, strict=True))
        return [answers[place] for place in range(len(requests))]

    def _accepted(self, request: TaskRequest, origin: Origin) -> NewTask:
        return seal_task(self._runtime, asked_again(self._runtime, accept(self._runtime, request, origin)))

    async def _kept(self, tasks: list[NewTask]) -> list[Answer]:
        """Return when they are kept. Nobody waits longer than one batch may take, though another is before his."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._answers(tasks, await self._batcher.submit(tasks))
        except TimeoutError as error:
            doubt(self._runtime, tasks)
            raise Unavailable("postgres and redis") from error

    async def _store_all(self, groups: Sequence[list[NewTask]]) -> list[list[Outcome] | Exception]:
        """Store what several callers handed in, and tell each what became of his."""
        outcomes = iter(await self._store([task for group in groups for task in group]))
        return [[next(outcomes) for _ in group] for group in groups]

    async def _store(self, tasks: Sequence[NewTask]) -> list[Outcome]:
        # Batches are committed side by side and enqueued one after the other: first accepted, first in the queue.
        before, mine = self._last_turn, asyncio.get_running_loop().create_future()
        self._last_turn = mine
        try:
            full = await self._refused_for_depth(tasks)
            admission = await admit(self._runtime, [task for task in tasks if task.id not in full])
            asked = [task for task in tasks if task.id not in full and task.id not in admission.refused]
            stored = await self._placed(asked, admission, before)
        finally:
            mine.set_result(None)
        outcomes: dict[TaskId, Outcome] = {**stored, **admission.refused, **full}
        return [outcomes[task.id] for task in tasks]

    async def _placed(
        self, tasks: Sequence[NewTask], admission: Admission, before: asyncio.Future[None] | None
    ) -> dict[TaskId, Kept | Existing]:
        """Keep the tasks; those that were not stored give their places back. What is not known keeps them."""
        try:
            answers = await keep(self._runtime, tasks, lambda: _turn(before)) if tasks else []
        except Unavailable:
            raise
        except Exception:
            await admission.give_back(self._runtime, {task.id for task in tasks})
            raise
        stored = dict(zip((task.id for task in tasks), answers, strict=True))
        await admission.give_back(self._runtime, {task for task in stored if isinstance(stored[task], Existing)})
        return stored

    async def _answers(self, tasks: Sequence[NewTask], outcomes: Sequence[Outcome]) -> list[Answer]:
        """Answer one caller. Repeats are read beside the batches: however slow that is, nobody else waits for it."""
        found = dict(zip((task.id for task in tasks), outcomes, strict=True))
        over = [task for task in tasks if isinstance(found[task.id], QuotaExceeded)]
        if any(task.idempotency_key for task in over):  # a repeat gets its task, which may have been on its way
            await asyncio.sleep(_UNDER_WAY_SECONDS)
            found |= await repeats(self._runtime, over)
        again = [(task, held) for task in tasks if isinstance(held := found[task.id], Existing)]
        settled: dict[TaskId, Answer | Kept] = {
            task: outcome for task, outcome in found.items() if not isinstance(outcome, Existing)
        }
        for first in range(0, len(again), _READS_AT_ONCE):
            some = again[first : first + _READS_AT_ONCE]
            answers = await asyncio.gather(*(self._answered(task, held) for task, held in some))
            settled |= zip((task.id for task, _ in some), answers, strict=True)
        return [self._settled(task, settled[task.id]) for task in tasks]

    def _settled(self, task: NewTask, outcome: Answer | Kept) -> Answer:
        if not isinstance(outcome, Kept):
            return outcome
        created = fresh(task) if is_plain(task.payload) else open_task(self._runtime, fresh(task))
        return Receipt(created, replayed=False, durability=outcome.where)

    async def _answered(self, task: NewTask, existing: Existing) -> Answer:
        try:
            return await self._repeat(task, existing)
        except Unavailable as away:  # the others of this request are kept, and are told so
            return away

    async def _repeat(self, task: NewTask, existing: Existing) -> Answer:
        try:
            if not self._is_repeat(task, existing):
                return KeyConflict(task.idempotency_key or "", existing.task_id)
            before = await read.get(self._runtime, task.tenant, existing.task_id)
        except NotFound:
            return Unavailable("postgres")  # pruned between two statements: the next try inserts it anew
        except (SealBroken, SealKeyMissing) as unreadable:
            return unreadable
        return Receipt(before, replayed=True)

    def _is_repeat(self, task: NewTask, existing: Existing) -> bool:
        """Equal requests have equal fingerprints, unless a key was rotated, or encryption switched, in between."""
        if existing.fingerprint == task.fingerprint:
            return True
        vault, tenant, key = self._runtime.vault, task.tenant, task.idempotency_key or ""
        before = vault.open_fingerprint(tenant, key, existing.fingerprint)
        return before == vault.open_fingerprint(tenant, key, task.fingerprint)

    async def _refused_for_depth(self, tasks: Sequence[NewTask]) -> dict[TaskId, QueueFull]:
        """Refuse the last of this batch that would pass MAX_QUEUE_DEPTH; two processes may pass it by one batch."""
        limit = self._runtime.limits.max_queue_depth
        if limit is None:
            return {}
        by_queue: dict[str, list[NewTask]] = defaultdict(list)
        for task in tasks:
            if not task.always:
                by_queue[task.queue].append(task)
        refused: dict[TaskId, QueueFull] = {}
        for queue, asked in by_queue.items() if not self._runtime.standby.redis.away else ():
            try:
                room = limit - await self._runtime.queue.depth(queue)
            except Unavailable:
                continue  # accepted work must not depend on Redis
            refused.update({task.id: QueueFull(queue, limit) for task in asked[max(0, room) :]})
        return refused


async def _turn(before: asyncio.Future[None] | None) -> None:
    if before is not None:
        await asyncio.wait([before])
