"""Signals as something to wait for, so that a supervisor is one plain loop: no thread, no handler that does work."""

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Between enter and exit, SIGINT, SIGTERM and SIGHUP ask to stop, and the end of a child ends a wait."""

    def __init__(self) -> None:
        self.stops = 0
        """How often a stop was asked for; the second time means at once."""
        self._heard, self._told = socket.socketpair()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._told.setblocking(False)
        self._heard.setblocking(False)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        for number in (*_STOPPING, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup ignores SIGHUP
                self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._heard.close()
        self._told.close()

    def wait(self, timeout_seconds: float) -> bool:
        """Return after a signal or the timeout: whether a stop was asked for, now or before."""
        if select.select([self._heard], [], [], timeout_seconds)[0]:
            self.stops += sum(number in _STOPPING for number in self._heard.recv(4096))
        return self.stops > 0


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Only a signal with a handler reaches the wakeup descriptor."""
