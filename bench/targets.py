"""What this system has to reach, each figure against a peer's of the same run or against a plain bound."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.contestants import OURS
from bench.measures import Figures


@dataclass(frozen=True)
class Target:
    """`bound` is a ratio to the peer's figure where a peer is named, else the figure itself."""

    what: str
    figure: str
    bound: float
    peer: str | None = None
    peer_figure: str | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a target came out; `measured` is None when this run did not measure it."""

    target: Target
    measured: float | None

    @property
    def reached(self) -> bool:
        if self.measured is None:
            return False
        return self.measured <= self.target.bound if self.target.at_most else self.measured >= self.target.bound


def _drain(peer: str, bound: float) -> Target:
    return Target(f"drain, one worker, against {peer}", "drain_per_s", bound, peer, "drain_per_s")


TARGETS = (
    _drain("saq", 5),
    _drain("arq", 5),
    _drain("celery", 14),
    _drain("dramatiq", 3),
    _drain("pgqueuer", 0.8),
    Target("drain, two workers against one", "drain_two_per_s", 1.0, OURS, "drain_per_s"),
    Target("latency of an idle worker, p50, against taskiq", "latency_p50_ms", 1.0, "taskiq", "latency_p50_ms", True),
    Target("latency of an idle worker, p99, against taskiq", "latency_p99_ms", 2.0, "taskiq", "latency_p99_ms", True),
    Target("tasks that wait 50 ms, share of the ideal", "nap_share", 0.95),
    Target("single POST against pgqueuer's enqueue", "post_per_s", 1.5, "pgqueuer", "send_per_s"),
    Target("batch POST against procrastinate's bulk enqueue", "post_batch_per_s", 1.5, "procrastinate", "fill_per_s"),
    Target("worker's processor seconds for 1,000 tasks", "worker_cpu", 0.10, at_most=True),
    Target("worker's memory, MB", "memory_mb", 80, at_most=True),
)


def judge(figures: Mapping[str, Figures]) -> list[Verdict]:
    """Hold the figures of all contestants against every target."""
    return [Verdict(target, _measured(target, figures)) for target in TARGETS]


def _measured(target: Target, figures: Mapping[str, Figures]) -> float | None:
    ours = figures.get(OURS, {}).get(target.figure)
    if ours is None or target.peer is None or target.peer_figure is None:
        return ours
    theirs = figures.get(target.peer, {}).get(target.peer_figure)
    return ours / theirs if theirs else None
