"""Executions, counted where they happen: in the task's body, in a memory-mapped file.

Each worker process writes a file of its own in its working directory, one slot for each execution, and the bench reads
them all while the workers run. That costs a worker less than half a microsecond a task; no counter in Redis and no
query disturbs what is measured. Only the standard library is used: this runs inside every peer's environment.
"""

import itertools
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

_SLOT_BYTES = 8
_ROOM = 1_000_000
_SUFFIX = ".count"
_UNTIMED = 1


class Counter:
    """The writing side. Safe in threads: each execution takes a slot that no other has."""

    def __init__(self, folder: Path) -> None:
        """Open this process' file in `folder`, and a new one in every process that is forked from it."""
        self._folder = folder
        self._next: Callable[[], int]
        self._open()
        os.register_at_fork(after_in_child=self._open)

    def _open(self) -> None:
        # Appending mode, because the bench may be reading it already: a program may become another one (exec).
        with (self._folder / f"{os.getpid()}{_SUFFIX}").open("a+b") as file:
            file.truncate(_ROOM * _SLOT_BYTES)
            self._slots = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        self._next = itertools.count().__next__

    def note(self, sent_ns: int = 0) -> None:
        """Count one execution; with the monotonic moment it was sent, also how long it took to get here."""
        self._slots[self._next()] = time.monotonic_ns() - sent_ns if sent_ns else _UNTIMED


class Tally:
    """The reading side: what all processes that work in `folder` have noted so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, memoryview] = {}
        self._seen: dict[Path, int] = {}

    def count(self) -> int:
        """Executions so far, by the processes known so far."""
        for path, slots in self._files.items():
            seen = self._seen[path]
            while slots[seen]:
                seen += 1
            self._seen[path] = seen
        return sum(self._seen.values())

    def find(self) -> int:
        """Look for processes that started since the last time, and count."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if path not in self._files and path.stat().st_size:
                with path.open("rb") as file:
                    whole = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
                self._files[path] = memoryview(whole).cast("q")
                self._seen[path] = 0
        return self.count()

    def busy(self) -> int:
        """How many processes have executed anything."""
        self.find()
        return sum(seen > 0 for seen in self._seen.values())

    def waits_ms(self) -> list[float]:
        """How long each execution took from its sending to its start, where that was told; one process' in order."""
        self.count()
        noted = [slots[place] for path, slots in self._files.items() for place in range(self._seen[path])]
        return [nanoseconds / 1e6 for nanoseconds in noted if nanoseconds != _UNTIMED]
