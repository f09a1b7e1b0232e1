"""Calls made at about the same time, served together.

A `Batcher` has a few lanes. A lane takes whatever has gathered, at most `size`, and serves it in one call; what
arrives meanwhile gathers for the next. So an idle system adds no wait, and a loaded one makes large batches.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Serves single calls by a function over many; start it inside a running loop, stop it to drain."""

    def __init__(
        self,
        serve: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        size: int,
        lanes: int,
        weigh: Callable[[T], int] | None = None,
    ) -> None:
        """`serve` answers each item in order, an exception for one that failed alone.

        `size` bounds the items of a batch, or their weight together where `weigh` is given; one is always served.
        """
        self._serve = serve
        self._size = size
        self._weigh = weigh
        self._lanes = lanes
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._lane()) for _ in range(self._lanes)]

    async def stop(self) -> None:
        """Serve everything that waits, then end the lanes."""
        self._stopping = True
        self._wake.set()
        await asyncio.gather(*self._tasks)

    def submit(self, item: T) -> asyncio.Future[R]:
        """Hand in one call. If `serve` raises, every call of that batch raises the same."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._wake.set()
        return future

    async def _lane(self) -> None:
        while True:
            if not self._waiting:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                # One turn of the loop: callers woken by the same event join this batch, not the next.
                await asyncio.sleep(0)
                continue
            batch = self._take()
            try:
                answers = await self._serve([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue  # the caller went away; the work was done all the same
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        if self._weigh is None:
            return [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
        taken, weight = [], 0
        while self._waiting and weight < self._size:
            taken.append(self._waiting.popleft())
            weight += self._weigh(taken[-1][0])
        return taken
