"""A lock of the task, as its handler holds it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from orchestrator.domain.steps import Wait
from orchestrator.sdk import Terminal
from orchestrator.worker.waits import check_outside

if TYPE_CHECKING:
    from types import TracebackType

    from orchestrator.worker.context import AttemptContext


class Lock(AbstractAsyncContextManager[int]):
    """Left by an exception, the lock stays the task's: it goes on when it is retried or woken."""

    def __init__(self, context: AttemptContext, name: str) -> None:
        context.check_name(name)
        self._context = context
        self._name = name

    async def __aenter__(self) -> int:
        context = self._context
        check_outside()
        if self._name in context.locks:
            raise Terminal(f"the task holds the lock {self._name!r} already: the inner block would let it go")
        context.locks.add(self._name)
        try:
            with context.waits.acting():
                context.telling.check_open()
                fence = await context.bench.services.take_lock(context.claim, self._name)
            if fence is None:
                await context.waits.on(Wait(lock=self._name))
        except BaseException:
            context.locks.discard(self._name)
            raise
        return fence

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context = self._context
        context.locks.discard(self._name)
        if error is None:
            with context.waits.acting():  # one that unwinds because it is parked goes on holding it
                await context.bench.services.release_lock(context.claim, self._name)
