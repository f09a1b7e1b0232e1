"""Clients of a simulated system: they submit, ask again under the same key, cancel, replay, pause and resume."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any

from orchestrator.domain.errors import AureaError, Conflict, KeyConflict, NotFound, Unavailable
from orchestrator.domain.ids import DEFAULT_TENANT, TaskId
from orchestrator.operations.cancel import cancel
from orchestrator.operations.pause import pause, resume
from orchestrator.operations.replay import replay_dead, retry
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.submit import Intake
from orchestrator.runtime import Runtime
from tests.simulation.book import Book

QUEUES = ("default", "default", "mails", "bulk")
_ORIGIN = Origin(DEFAULT_TENANT)
_LIFETIMES: dict[str, Any] = {"ever": "forever", "once": "until_final", "timed": 2}


class Client:
    """One of the clients of an API process. What it is told goes into the book."""

    def __init__(self, runtime: Runtime, intake: Intake, book: Book, random: Random, pause_seconds: float) -> None:
        self._runtime = runtime
        self._intake = intake
        self._book = book
        self._random = random
        self._pause_seconds = pause_seconds
        self._acts = {
            self._submit: 60, self._submit_many: 8, self._cancel: 10, self._retry: 5, self._replay: 2,
            self._pause_or_resume: 1,
        }  # fmt: skip

    async def live(self) -> None:
        acts, weights = list(self._acts), list(self._acts.values())
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._pause_seconds))
            (act,) = self._random.choices(acts, weights)
            self._book.asked += 1
            try:
                await act()
            except (Conflict, NotFound, KeyConflict):
                self._book.refused += 1
            except Unavailable:
                self._book.unknown += 1

    async def _submit(self) -> None:
        request = self._request()
        tries = self._random.choice([1, 3]) if request.idempotency_key else 1
        for number in range(tries):
            try:
                receipt = await self._intake.submit(request, _ORIGIN)
            except Unavailable:
                if number == tries - 1:
                    raise
                await asyncio.sleep(self._random.random() * 0.5)
            else:
                self._book.note_accepted(receipt.task.id, request.idempotency_key)
                return

    async def _submit_many(self) -> None:
        requests = [self._request() for _ in range(self._random.randint(2, 8))]
        answers = await self._intake.submit_many(requests, _ORIGIN)
        for request, answer in zip(requests, answers, strict=True):
            if not isinstance(answer, AureaError):
                self._book.note_accepted(answer.task.id, request.idempotency_key)

    def _request(self) -> TaskRequest:
        draw = self._random
        given: dict[str, Any] = {
            "payload": self._wishes(),
            "queue": draw.choice(QUEUES),
            "priority": draw.randint(0, 9),
        }
        chance = draw.random()
        if chance < 0.3:
            kind = draw.choice(list(_LIFETIMES))
            key = f"{kind}-{int(self._runtime.clock.monotonic())}-{draw.randint(0, 5)}"
            given |= {"idempotency_key": key, "key_lifetime": _LIFETIMES[kind], "queue": "default", "priority": 5}
            given["payload"] = {"body": draw.random() < 0.03}
        elif chance < 0.4:
            given["delay_seconds"] = draw.random() * 3
        elif chance < 0.45:
            given["expires_at"] = self._runtime.clock.now() + timedelta(seconds=draw.random() * 2 + 0.01)
        return (
            TaskRequest(type="play", max_retries=draw.randint(0, 3), **given)
            if chance >= 0.3
            else TaskRequest(type="play", **given)
        )

    def _wishes(self) -> dict[str, Any]:
        draw = self._random
        chance = draw.random()
        seconds = 0.0 if chance < 0.3 else draw.random() * (0.2 if chance < 0.9 else 5.0)
        wishes: dict[str, Any] = {"seconds": round(seconds, 3)}
        if draw.random() < 0.2:
            wishes["fails"] = draw.randint(1, 5)
            wishes["again"] = draw.choice([None, 0.0, 0.5])
        if draw.random() < 0.05:
            wishes["broken"] = True
        if draw.random() < 0.1:
            wishes["tells"] = draw.randint(1, 3)
        if draw.random() < 0.1:
            wishes["step"] = True
        return wishes

    def _some_task(self) -> TaskId | None:
        known = list(self._book.accepted)[-60:]
        return self._random.choice(known) if known else None

    async def _cancel(self) -> None:
        task_id = self._some_task()
        if task_id is not None:
            cancelled = await cancel(self._runtime, DEFAULT_TENANT, task_id)
            self._book.note_cancelled(task_id, cancelled.fence)

    async def _retry(self) -> None:
        task_id = self._some_task()
        if task_id is not None:
            await retry(self._runtime, DEFAULT_TENANT, task_id)

    async def _replay(self) -> None:
        wanted = {self._some_task() for _ in range(5)} - {None}
        await replay_dead(self._runtime, DEFAULT_TENANT, sorted(wanted), rate_per_second=2)  # type: ignore[type-var]

    async def _pause_or_resume(self) -> None:
        queue = self._random.choice(QUEUES)
        await pause(self._runtime, queue)
        await asyncio.sleep(self._random.random())
        await resume(self._runtime, queue)
