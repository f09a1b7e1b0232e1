"""Small disks for servers, to be filled.

A disk is a small one of memory where this process may mount it. Elsewhere the kernel is told to let no file of the
server grow, which fails every write in the same places.
"""

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path


class SmallDisk:
    """A folder with room for a server, until `fill`."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._ballast = folder / "ballast"
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=777", "tmpfs", str(folder)]
        self._is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        self._held: list[int] = []

    def fill(self, pid: int) -> None:
        """Leave no byte free for the server with this process, and its children."""
        if self._is_mounted:
            self._put_ballast()
        else:
            self._held = [pid, *_children(pid)]
            self._limit(0)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)
        self._limit(resource.RLIM_INFINITY)
        self._held = []

    def close(self) -> None:
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", self._ballast.parent], check=True)

    def _put_ballast(self) -> None:
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        try:
            for size in (1 << 20, 1 << 12):
                try:
                    while os.write(descriptor, bytes(size)):
                        pass
                except OSError:
                    continue
        finally:
            os.close(descriptor)

    def _limit(self, size: int) -> None:
        for pid in self._held:
            try:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            except ProcessLookupError:
                continue  # it gave up


def _children(pid: int) -> Sequence[int]:
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in (line.split() for line in shown.splitlines()) if int(parent) == pid]
