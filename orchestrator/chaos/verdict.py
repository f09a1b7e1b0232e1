"""The verdict on a campaign: its figures, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from orchestrator.chaos.checker import Findings
from orchestrator.chaos.recovery import Recovery

BROKEN_BY = (
    "lost",
    "unexpected",
    "recorded_twice",
    "stale_writes_accepted",
    "keys_with_two_tasks",
)
"""Figures that have to be zero."""
_SHOWN = 5


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
            "keys_with_two_tasks": len(known.forked),
            "stale_writes_refused": self.refused_writes,
            "executions": found.executions,
            "doubled": len(found.doubled),
            "run_again_after_the_end": len(found.rerun),
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
