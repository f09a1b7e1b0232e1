"""What the parts write into their logs, shown on the terminal as well, a second late at most.

The parts write to files, never to the terminal: one that stands still (Ctrl-S, a closed window) holds nobody up.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

_MOST_BYTES = 64 * 1024
"""Of one log at one look: a part that says more is cut short here, and has it all in its file."""


class Tail:
    """One log, from where it stands now."""

    def __init__(self, name: str, log: Path) -> None:
        self._name = name
        self._log = log
        self._read_to = self._size()

    def news(self) -> list[str]:
        """The whole lines that were added since the last call, each with the part's name before it."""
        size = self._size()
        if size == self._read_to:
            return []
        if size < self._read_to:
            self._read_to = 0  # put aside and begun again
        skipped = max(0, size - self._read_to - _MOST_BYTES)
        with self._log.open("rb") as file:
            file.seek(self._read_to + skipped)
            said = file.read(_MOST_BYTES)
        whole = said[: said.rfind(b"\n") + 1]
        self._read_to += skipped + len(whole)
        lines = whole.decode(errors="replace").splitlines()
        if skipped:
            lines[:1] = [f"... {skipped} bytes more in {self._log}"]
        return [f"{self._name:<10}| {line}" for line in lines]

    def _size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0


def say(lines: Iterable[str]) -> None:
    """Print at once; a terminal that went away is no reason to stop."""
    try:
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        return
