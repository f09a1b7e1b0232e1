"""The verdict on a campaign: its figures, how soon work went on after each kind of fault, and their rendering."""

import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from orchestrator.chaos.checker import Findings, Row, RunRow
from orchestrator.chaos.history import Record

BROKEN_BY = (
    "lost",
    "unexpected",
    "recorded_twice",
    "stale_writes_accepted",
    "run_again_after_the_end",
    "keys_with_two_tasks",
)
"""Figures that have to be zero."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Recovery:
    """How fast work went on after one kind of fault had healed."""

    fault: str
    times: int
    median_seconds: float
    worst_seconds: float
    elsewhere_seconds: float | None
    """Of a killed worker: until the last of the tasks it was seen to run began elsewhere, in the worst case."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything a campaign found out."""

    seed: int
    findings: Findings
    seconds: float
    drained_seconds: float | None
    """From the last healing until everything was final; None when it never was."""
    refused_writes: int
    post_ms: tuple[float, float]
    """The median and the 99th percentile of what a client waited for, answered or not."""
    faults: Mapping[str, int]
    left_out: Mapping[str, int]
    revived: int
    recoveries: Sequence[Recovery]

    @property
    def is_sound(self) -> bool:
        return self.findings.is_sound and self.drained_seconds is not None

    def figures(self) -> dict[str, int | float | None]:
        """What is promised, and what is only told, in the order of importance."""
        found, known = self.findings, self.findings.submissions
        return {
            "accepted": len(known.accepted),
            "finished": sum(found.states.get(state, 0) for state in ("succeeded", "failed", "cancelled", "expired")),
            "lost": len(found.lost),
            "unexpected": len(found.unexpected),
            "recorded_twice": len(found.recorded_twice),
            "stale_writes_accepted": len(found.stale),
            "run_again_after_the_end": len(found.rerun),
            "keys_with_two_tasks": len(known.forked),
            "stale_writes_refused": self.refused_writes,
            "executions": found.executions,
            "doubled": len(found.doubled),
            "dead_letters": found.states.get("failed", 0),
            "answers_recovered": len(known.recovered),
            "answers_missing": len(known.unknown),
            "refused": len(known.refused),
            "inversions": found.inversions,
            "post_p50_ms": self.post_ms[0],
            "post_p99_ms": self.post_ms[1],
            "faults": sum(self.faults.values()),
            "seconds": round(self.seconds, 1),
            "drained_seconds": self.drained_seconds,
        }

    def document(self) -> dict[str, object]:
        """For programs."""
        known, found = self.findings.submissions, self.findings
        return {
            "sound": self.is_sound,
            "seed": self.seed,
            **self.figures(),
            "states": dict(found.states),
            "fault_counts": dict(self.faults),
            "faults_left_out": dict(self.left_out),
            "processes_revived": self.revived,
            "dead_letters_by_error": dict(found.dead_letters),
            "recovery": [asdict(each) for each in self.recoveries],
            "suspects": {
                "lost": list(found.lost[:_SHOWN]),
                "unexpected": list(found.unexpected[:_SHOWN]),
                "recorded_twice": list(found.recorded_twice[:_SHOWN]),
                "stale": list(found.stale[:_SHOWN]),
                "rerun": list(found.rerun[:_SHOWN]),
                "forked": list(known.forked)[:_SHOWN],
                "doubled": list(found.doubled[:_SHOWN]),
            },
        }


def recoveries(records: Iterable[Record], rows: Sequence[Row], runs: Sequence[RunRow]) -> list[Recovery]:
    """Measure each kind of fault: from its healing to the first end that was recorded after it."""
    records = list(records)
    ends = sorted(row.finished_at for row in rows if row.finished_at is not None)
    waits: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.op != "fault" or record.phase != "heal":
            continue
        place = bisect_right(ends, record.at)
        if place < len(ends):
            waits[record.name].append(ends[place] - record.at)
    elsewhere = _elsewhere(records, runs)
    return [
        Recovery(
            name,
            len(known),
            round(statistics.median(known), 3),
            round(max(known), 3),
            round(max(elsewhere[name]), 2) if name in elsewhere else None,
        )
        for name, known in sorted(waits.items())
    ]


def _elsewhere(records: Iterable[Record], runs: Sequence[RunRow]) -> dict[str, list[float]]:
    """From each kill of a worker to the next start of what it ran."""
    next_start: dict[int, list[float]] = defaultdict(list)
    for crashed, following in pairwise(runs):
        if crashed.status == "crashed" and following.task_id == crashed.task_id:
            next_start[_pid(crashed.worker)].append(following.started_at)
    found: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.phase == "inject" and record.name.startswith("worker_killed"):
            found[record.name] += [
                at - record.at for at in next_start.get(int(record.detail.get("pid", 0)), []) if at >= record.at
            ]
    return {name: waits for name, waits in found.items() if waits}


def _pid(worker: str) -> int:
    """Workers are called worker-HOST-PID-CHANCE."""
    parts = worker.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else -1
