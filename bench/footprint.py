"""What processes cost, read from Linux' /proc: processor time and memory of a process and all below it."""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*roots: int) -> float:
    """User and system time so far, children that have ended included."""
    return sum(sum(map(int, _stat(pid)[11:15])) for root in roots for pid in _tree(root)) / _TICKS_PER_SECOND


def memory_mb(*roots: int) -> float:
    """Proportional set size: a page that several processes share counts once."""
    return sum(_pss_kb(pid) for root in roots for pid in _tree(root)) / 1024


def _tree(root: int) -> list[int]:
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            below.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += below.get(pid, [])
    return [pid for pid in found if _stat(pid)]


def _stat(pid: int) -> list[str]:
    """The fields after the program's name, which may hold spaces; none when it ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
