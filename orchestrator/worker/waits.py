"""What one attempt waits for, and how it gives its worker up for that.

A call, a long sleep or a lock that is taken registers its wait here. When waits are all that is under way in the
handler, the handler is cancelled and the attempt ends as parked; what the handler does besides (a step, a model call)
is let finish first. A moment is left for handlers that wait for several things side by side to name them all.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn

from orchestrator.domain.steps import Wait
from orchestrator.sdk import Terminal

_TURNS = 10
"""More than a handler needs from the end of one call to the beginning of the next."""


_inside: ContextVar[str | None] = ContextVar("aurea_step", default=None)


@contextmanager
def inside(step: str) -> Iterator[None]:
    """While this is open, what runs here belongs to a step."""
    token = _inside.set(step)
    try:
        yield
    finally:
        _inside.reset(token)


def check_outside() -> None:
    """Raises Terminal inside a step."""
    step = _inside.get()
    if step is not None:
        raise Terminal(
            f"the step {step!r} calls, sleeps or takes a lock: a wait cannot stand inside a step, move it out"
        )


class Waits:
    """Use it on the loop's thread."""

    __slots__ = ("_acting", "_gather_seconds", "_life", "_open", "_owed", "_timer", "parked")

    def __init__(self, gather_seconds: float) -> None:
        self._gather_seconds = gather_seconds
        self.parked: Wait | None = None
        """What the attempt was parked for."""
        self._life: asyncio.Task[object] | None = None
        self._open: dict[asyncio.Future[NoReturn], Wait] = {}
        self._acting = 0
        self._owed = False
        self._timer: asyncio.Handle | None = None

    def begin(self, life: asyncio.Task[object] | None) -> None:
        """`life` is cancelled to park the attempt."""
        self._life = life

    @contextmanager
    def acting(self) -> Iterator[None]:
        """While this is open the attempt is not parked. Raises CancelledError once it is: nothing is done any more."""
        self._check_awake()
        self._acting += 1
        try:
            yield
        finally:
            self._acting -= 1
            self._look()

    async def on(self, wait: Wait) -> NoReturn:
        """Wait for good: only a cancellation ends it. Raises Terminal inside a step, which would wait for itself."""
        check_outside()
        self._check_awake()
        never: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._open[never] = wait
        self._look()
        try:
            await never
        finally:
            del self._open[never]
        raise AssertionError("a wait was given a result")

    def _check_awake(self) -> None:
        if self.parked is not None:
            raise asyncio.CancelledError("the attempt is parked")

    def settled(self) -> None:
        """Take the cancellation that parked the attempt back from its task, once: whoever cancels now means it."""
        if self._owed and self._life is not None:
            self._owed = False
            self._life.uncancel()

    def close(self) -> None:
        """Let go of whoever still waits: the attempt has ended."""
        self._life = None
        if self._timer is not None:
            self._timer.cancel()
        for never in list(self._open):
            never.cancel()

    def _look(self) -> None:
        """Begin the moment anew: a handler that comes by what it did before, call by call, is not at rest yet."""
        if self._open and not self._acting:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(self._gather_seconds, self._rest, _TURNS)

    def _rest(self, turns: int) -> None:
        """Let the loop turn a few times more: when it was late itself, the moment is over and nobody had his turn."""
        if turns:
            self._timer = asyncio.get_running_loop().call_soon(self._rest, turns - 1)
        else:
            self._park()

    def _park(self) -> None:
        self._timer = None
        if self._open and not self._acting and self._life is not None and self.parked is None:
            self.parked = joined(list(self._open.values()))
            self._owed = True
            self._life.cancel()
            asyncio.get_running_loop().call_soon(self.settled)  # behind the step that throws it


def joined(waits: list[Wait]) -> Wait:
    """Return the wait that is over as soon as any of these is."""
    with_children = [wait for wait in waits if wait.children]
    return Wait(
        children=tuple(dict.fromkeys(child for wait in with_children for child in wait.children)),
        every_child=len(with_children) == 1 and with_children[0].every_child,
        wake_at=min((wait.wake_at for wait in waits if wait.wake_at is not None), default=None),
        lock=next((wait.lock for wait in waits if wait.lock is not None), None),
        money=any(wait.money for wait in waits),
    )
