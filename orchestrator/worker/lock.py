"""A lock of the task, as its handler holds it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.steps import Wait
from orchestrator.worker.waits import check_outside

if TYPE_CHECKING:
    from types import TracebackType

    from orchestrator.worker.context import AttemptContext

_LOOK_AGAIN = timedelta(seconds=30)
"""Whoever lets go wakes the next one; this is for the case that the next one died of it."""


class Lock(AbstractAsyncContextManager[int]):
    """Left by an exception, the lock stays the task's: it goes on when it is retried or woken."""

    def __init__(self, context: AttemptContext, name: str) -> None:
        context.check_name(name)
        self._context = context
        self._name = name

    async def __aenter__(self) -> int:
        context = self._context
        check_outside()
        with context.waits.acting():
            context.telling.check_open()
            fence = await context.bench.services.take_lock(context.claim, self._name)
        if fence is None:
            await context.waits.on(Wait(lock=self._name, wake_at=context.bench.clock.now() + _LOOK_AGAIN))
        return fence

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self._context.bench.services.release_lock(self._context.claim, self._name)
