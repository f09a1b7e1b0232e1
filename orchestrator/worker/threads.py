"""Threads for plain functions: as many as run at once, each reused.

They are daemons: a function that never returns is left behind by its timeout and cannot keep the worker from
leaving. A pool of concurrent.futures would wait for it at exit, and would be full of such threads one day.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

MOST_LEFT_BEHIND = 64
_LEAVE_SECONDS = 1.0
_LOOKS = 20


class TooManyLeftBehind(RuntimeError):
    """So many functions ignored their timeout that this process starts no more."""

    def __init__(self) -> None:
        super().__init__(
            f"{MOST_LEFT_BEHIND} threads of handlers still run after their attempt ended:"
            ' give those handlers timeouts of their own, or isolation="process", which can be ended'
        )


class _Work:
    """One call on its way through a thread."""

    __slots__ = ("call", "context", "future", "left_behind")

    def __init__(self, call: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.call = call
        self.context = contextvars.copy_context()
        self.future = future
        self.left_behind = False


class Threads:
    """Use it from one event loop."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[_Work | None]] = []
        self._left_behind = 0

    async def run(self, call: Callable[[], T]) -> T:
        """Call it in a thread, with the caller's context variables. Cancelled, it leaves the thread behind.

        Raises what the call raises, and TooManyLeftBehind.
        """
        if self._left_behind >= MOST_LEFT_BEHIND:
            await self._leave()
        loop = asyncio.get_running_loop()
        work = _Work(call, loop.create_future())
        inbox = self._idle.pop() if self._idle else self._hire(loop)
        inbox.put(work)
        try:
            return await work.future  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if work.future.cancelled():
                work.left_behind = True
                self._left_behind += 1
            raise

    async def _leave(self) -> None:
        """Give threads that were just left a moment to come back. Raises TooManyLeftBehind when too many do not."""
        for _ in range(_LOOKS):
            await asyncio.sleep(_LEAVE_SECONDS / _LOOKS)
            if self._left_behind < MOST_LEFT_BEHIND:
                return
        raise TooManyLeftBehind

    def close(self) -> None:
        """End the idle threads; the busy ones end with their call or with the process."""
        while self._idle:
            self._idle.pop().put(None)

    def _hire(self, loop: asyncio.AbstractEventLoop) -> "SimpleQueue[_Work | None]":
        inbox: SimpleQueue[_Work | None] = SimpleQueue()
        threading.Thread(target=self._serve, args=(inbox, loop), name="aurea-handler", daemon=True).start()
        return inbox

    def _serve(self, inbox: "SimpleQueue[_Work | None]", loop: asyncio.AbstractEventLoop) -> None:
        while (work := inbox.get()) is not None:
            result, error = None, None
            try:
                result = work.context.run(work.call)
            except BaseException as raised:  # noqa: BLE001 - handed to the caller
                error = raised
            try:
                loop.call_soon_threadsafe(self._settle, inbox, work, result, error)
            except RuntimeError:
                return  # the loop is closed, nobody waits
            del work, result, error  # an idle thread keeps nothing of its last call alive

    def _settle(
        self, inbox: "SimpleQueue[_Work | None]", work: _Work, result: Any, error: BaseException | None
    ) -> None:
        self._idle.append(inbox)
        if work.left_behind:
            self._left_behind -= 1
        if work.future.done():
            return
        if isinstance(error, StopIteration):
            error = RuntimeError(f"the function raised StopIteration: {error}")  # a future takes any other
        if error is None:
            work.future.set_result(result)
        else:
            work.future.set_exception(error)
