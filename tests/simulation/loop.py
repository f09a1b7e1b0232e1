"""An event loop without time, threads or sockets: the seed alone says what runs next.

Callbacks belong to lanes. A lane is one event loop of one simulated process: what is ready in it runs in the order in
which it became ready, as in any event loop; which lane goes next is drawn. Time is virtual. It moves a little with
every callback, and jumps to the next timer when nothing is ready.

A lane that is stopped keeps what is ready for later; a dead one forgets it, so that not even a `finally` of a killed
process runs.
"""

import asyncio
import contextvars
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar
from random import Random
from typing import Any

from orchestrator.domain.errors import Unavailable

TURN_US = 15
"""How long a callback takes."""


class Lane:
    """One loop of one process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.stopped = False
        self.dead = False
        self.context = contextvars.copy_context()
        self.context.run(LANE.set, self)


LANE: ContextVar[Lane] = ContextVar("simulated_lane")


class SimulationLoop(asyncio.AbstractEventLoop):
    """Run it with `run`; everything that is made inside belongs to the lane that made it."""

    def __init__(self, random: Random) -> None:
        self.now_us = 0
        self.turns = 0
        self.complaints: list[str] = []
        """What nobody caught."""
        self._random = random
        self._runnable: list[Lane] = []
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[Any]] = []
        self._room = 1_000
        self._done = False
        self.disposing = False
        self.ground = Lane("world")

    def run(self) -> None:
        """Go on until `finish`; then nothing of what was begun runs any more."""
        events._set_running_loop(self)
        try:
            while not self._done:
                self._turn()
        finally:
            self._dispose()
            events._set_running_loop(None)

    def finish(self) -> None:
        self._done = True

    def _turn(self) -> None:
        if not self._runnable:
            if not self._timers:
                raise RuntimeError("nothing is left to run")
            self.now_us = max(self.now_us, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self.now_us:
            self._enqueue(heapq.heappop(self._timers)[2])
        if not self._runnable:
            return
        runnable = self._runnable
        place = int(self._random.random() * len(runnable))
        lane = runnable[place]
        handle = lane.ready.popleft()
        if not lane.ready:
            runnable[place] = runnable[-1]
            runnable.pop()
        self.turns += 1
        self.now_us += TURN_US
        if not handle._cancelled:
            handle._run()

    def _enqueue(self, handle: asyncio.Handle) -> None:
        lane = handle._context.get(LANE, self.ground)
        if lane.dead:
            return
        if not lane.ready and not lane.stopped:
            self._runnable.append(lane)
        lane.ready.append(handle)

    def stop_lane(self, lane: Lane) -> None:
        lane.stopped = True
        if lane in self._runnable:
            self._runnable.remove(lane)

    def continue_lane(self, lane: Lane) -> None:
        if lane.stopped and lane.ready and not lane.dead:
            self._runnable.append(lane)
        lane.stopped = False

    def kill_lane(self, lane: Lane) -> None:
        self.stop_lane(lane)
        lane.dead = True
        lane.ready.clear()

    def _dispose(self) -> None:
        """End what was left behind without a trace: its `finally` clauses meet a loop that runs nothing."""
        self._done = self.disposing = True
        while self._tasks:
            coroutine: Any = self._tasks.pop().get_coro()
            with suppress(RuntimeError, ValueError):  # a `finally` that waits; one that meets another's context
                coroutine.close()
        self._runnable.clear()
        self._timers.clear()

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (round(when * 1e6), next(self._numbers), handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def time(self) -> float:
        return self.now_us / 1e6

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        if len(self._tasks) > self._room:
            self._tasks = [each for each in self._tasks if not each.done()]
            self._room = 2 * len(self._tasks) + 1_000
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Unavailable):  # of a caller that was killed
            self.complaints.append(f"{context.get('message')}: {error!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._done

    def is_closed(self) -> bool:
        return self._done
