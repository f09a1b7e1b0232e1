"""How soon work went on after each kind of fault, read from the history and from what was recorded.

Faults overlap. What is measured here is what each of them costs by itself: the time in which another one keeps
everybody from working does not count.
"""

import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.chaos.checker import Row, RunRow
from orchestrator.chaos.history import Record

_AT_ONCE_SECONDS = 1.0
_STORES = ("postgres", "redis", "both")
_KILLS = ("worker_killed", "worker_killed_while_stopped")


@dataclass(frozen=True, slots=True)
class Recovery:
    """How fast work went on after one kind of fault had healed."""

    fault: str
    times: int
    median_seconds: float
    worst_seconds: float
    elsewhere_seconds: float | None
    """Of a killed worker: from the kill until the last task that it ran was begun by another, in the worst case."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One fault, from its injection to its healing."""

    fault: str
    target: str
    pid: int
    began_at: float
    healed_at: float


def recoveries(records: Iterable[Record], rows: Sequence[Row], runs: Sequence[RunRow]) -> list[Recovery]:
    """Measure each kind: from the healing to the first end of a task that is recorded after it."""
    known = intervals(records)
    ends = sorted(row.finished_at for row in rows if row.finished_at is not None)
    waits: dict[str, list[float]] = defaultdict(list)
    for each in known:
        since = _at_work_again(each.healed_at, known)
        place = bisect_right(ends, since)
        if place < len(ends):
            waits[each.fault].append(ends[place] - since)
    elsewhere = _elsewhere(known, runs)
    return [
        Recovery(fault, len(found), _round(statistics.median(found)), _round(max(found)), elsewhere.get(fault))
        for fault, found in sorted(waits.items())
    ]


def intervals(records: Iterable[Record]) -> list[Interval]:
    """Return the faults that were made, in the order of their healing."""
    begun: dict[tuple[str, str], Record] = {}
    found = []
    for record in records:
        if record.op != "fault":
            continue
        place = (record.name, record.target)
        if record.phase == "inject":
            begun[place] = record
        elif record.phase == "heal":
            inject = begun.pop(place)
            pid = int(inject.detail.get("pid", 0))
            found.append(Interval(record.name, record.target, pid, inject.at, record.at))
    return found


def _at_work_again(moment: float, known: Sequence[Interval]) -> float:
    """The first moment from this one on at which no store is broken, nor broken again at once."""
    for each in sorted(known, key=lambda interval: interval.began_at):
        if each.target in _STORES and each.began_at - _AT_ONCE_SECONDS <= moment < each.healed_at:
            moment = each.healed_at
    return moment


def _elsewhere(known: Sequence[Interval], runs: Sequence[RunRow]) -> dict[str, float]:
    """From each kill of a worker to the next starts of what it ran, where no store and no sweeper was broken then."""
    next_starts: dict[int, list[float]] = defaultdict(list)
    for crashed, following in pairwise(runs):
        if crashed.status == "crashed" and following.task_id == crashed.task_id:
            next_starts[_pid(crashed.worker)].append(following.started_at)
    found: dict[str, list[float]] = defaultdict(list)
    for kill in known:
        if kill.fault not in _KILLS:
            continue
        found[kill.fault] += [
            begun - kill.began_at
            for begun in next_starts.get(kill.pid, ())
            if begun >= kill.began_at and not _disturbed(kill.began_at, begun, known)
        ]
    return {fault: round(max(waits), 2) for fault, waits in found.items() if waits}


def _disturbed(since: float, until: float, known: Sequence[Interval]) -> bool:
    return any(
        each.began_at < until and each.healed_at > since
        for each in known
        if each.target in _STORES or each.target.startswith("scheduler")
    )


def _pid(worker: str) -> int:
    """Workers are called worker-HOST-PID-CHANCE."""
    parts = worker.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else -1


def _round(seconds: float) -> float:
    return round(seconds, 3)
