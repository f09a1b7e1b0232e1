"""Keeps processes running: starts again what dies, and ends everything when asked to.

What ends at once each time is started again ever more slowly, up to 5 s apart, and counted. The loop wakes once a
second at most while nothing happens.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from app.cli.signals import Signals
from app.cli.tail import Tail, say
from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.home import Running
from orchestrator.embedded.process import end, spawn, trim

_STEADY_SECONDS = 10.0
"""What ran this long has not failed at its start."""
_LONGEST_DELAY_SECONDS = 5.0


class Part:
    """One process of ours: `aurea api` and its kind. Its own session, its output in its log."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        status = self._process.poll() if self._process else None
        if status is not None and status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def start(self) -> None:
        """It dies with this process: a part without its supervisor would work for nobody."""
        self._process = spawn(self._command, death_signal=signal.SIGKILL, log=self.log, environment=self._environment)

    def start_again(self) -> None:
        self.start()

    def ask_to_end(self) -> None:
        if self._process and not self.ended:
            self._process.terminate()

    def kill(self) -> None:
        """End it and whatever it started."""
        if self._process and not self.ended:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            end(self._process.pid, signal.SIGKILL, process=self._process)


def end_left_parts(before: Running | None) -> None:
    """End the parts of a supervisor that was killed where the system does not end them with it."""
    for pid in before.parts.values() if before else ():
        ps = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        with suppress(FileNotFoundError):  # where there is no ps
            shown = subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603 - no shell
            if re.search(r"\baurea (api|worker|scheduler)", shown):
                end(pid, signal.SIGKILL)


class Mortal(Protocol):
    """What can end and be started again: a part, or a server."""

    @property
    def name(self) -> str: ...

    @property
    def ended(self) -> bool: ...

    @property
    def ending(self) -> str:
        """How it ended, in words."""

    def start_again(self) -> None:
        """Raises NotStarted."""


class Keeper:
    """Starts one of them again when it ends."""

    def __init__(self, mortal: Mortal) -> None:
        self._mortal = mortal
        self._restarts = 0
        self._failures = 0
        self._started_at = time.monotonic()
        self._due_at: float | None = None

    def mend(self) -> bool:
        """Start it again if it has ended and its delay is over; whether it was started now."""
        if not self._mortal.ended:
            return False
        now = time.monotonic()
        if self._due_at is None:
            self._due_at = now + self._delay(now)
        if now < self._due_at:
            return False
        self._restarts += 1
        self._started_at, self._due_at = now, None
        try:
            self._mortal.start_again()
        except NotStarted as error:
            say([f"aurea     | {error}"])
        return True

    def _delay(self, now: float) -> float:
        self._failures = 0 if now - self._started_at > _STEADY_SECONDS else self._failures + 1
        delay = min(_LONGEST_DELAY_SECONDS, 0.1 * 3**self._failures) if self._failures else 0.0
        what = f"{self._mortal.name} {self._mortal.ending}"
        when = f" in {delay:.1f} s" if delay else ""
        say([f"aurea     | {what}; starting it again{when} (restart {self._restarts + 1})"])
        return delay

    @property
    def waiting_seconds(self) -> float:
        """Until there is something to do."""
        return 1.0 if self._due_at is None else max(0.0, min(1.0, self._due_at - time.monotonic()))


class Supervisor:
    """Runs until a stop is asked for. What parts need (`servers`) is mended before them."""

    def __init__(self, servers: Sequence[Mortal], parts: Sequence[Part], signals: Signals) -> None:
        self._keepers = [Keeper(mortal) for mortal in (*servers, *parts)]
        self._parts = parts
        self._signals = signals
        self._tails = [Tail(part.name, part.log) for part in parts]

    def run(self, changed: Callable[[], None]) -> None:
        """Return when a stop was asked for; `changed` is called after something was started again."""
        while not self.wait(min(keeper.waiting_seconds for keeper in self._keepers)):
            mended = [keeper.mend() for keeper in self._keepers]
            if any(mended):
                changed()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait once, and show what the parts said meanwhile; whether a stop was asked for."""
        stop = self._signals.wait(timeout_seconds)
        for part, tail in zip(self._parts, self._tails, strict=True):
            say(tail.news())
            trim(part.log)
        return stop

    def stop(self, grace_seconds: float) -> None:
        """End all parts, together: they get the grace to finish; a further request to stop ends it early."""
        asked = self._signals.stops
        for part in self._parts:
            part.ask_to_end()
        patience = time.monotonic() + grace_seconds
        while not all(part.ended for part in self._parts):
            self.wait(min(1.0, max(0.0, patience - time.monotonic())))
            if self._signals.stops > asked:
                say(["stopping now: what runs is given back when its lease ends"])
                break
            if time.monotonic() >= patience:
                break
        for part in self._parts:
            part.kill()
        self.wait(0)
