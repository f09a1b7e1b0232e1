"""One run of the bench: every contestant in turn, round after round, and the median of the rounds.

Taking turns spreads the machine's moods over all of them. A slow contestant gets fewer tasks than the others, so that
a drain lasts about twenty seconds at most.
"""

import shutil
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.contestants import OURS, PEERS, Contestant, ours, peer
from bench.measures import Figures, drain_by_two, http_submit, idle_latency, naps, submit_and_drain
from bench.sink import trace_sink
from bench.stage import Failure, Stage, staged

REHEARSAL = 2_000
FEWEST = 5_000
LONGEST_DRAIN_SECONDS = 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How long and whom to measure; `folder` keeps the peers' environments and the logs."""

    tasks: int
    rounds: int
    only: tuple[str, ...]
    folder: Path


@dataclass
class Results:
    """Medians by contestant and figure, and why one is missing."""

    figures: dict[str, Figures] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class Run:
    """The state of one run."""

    def __init__(self, options: Options, say: Say) -> None:
        self._options = options
        self._say = say
        self._tasks: dict[str, int] = {}
        self._rounds: dict[str, list[Figures]] = {}
        self._results = Results()

    def measure(self) -> Results:
        """Run all rounds. A contestant that fails is left out from there on, and the others go on."""
        contestants = self._contestants()
        with trace_sink() as sink:
            for number in range(1, self._options.rounds + 1):
                for contestant in contestants:
                    if contestant.name not in self._results.failures:
                        self._round(contestant, number, sink.url)
        if OURS in self._rounds and not sink.received:
            self._fail(OURS, "no trace was exported: it ran without tracing")
        for name, rounds in self._rounds.items():
            self._results.figures[name] = {
                figure: statistics.median(figures[figure] for figures in rounds) for figure in rounds[0]
            }
        return self._results

    def _contestants(self) -> list[Contestant]:
        found = []
        for name in self._options.only or (OURS, *PEERS):
            try:
                found.append(ours() if name == OURS else peer(name, self._options.folder / "peers"))
            except subprocess.CalledProcessError as error:
                self._fail(name, f"its environment could not be made: {error.stderr.strip()}")
        return found

    def _round(self, contestant: Contestant, number: int, traces: str) -> None:
        try:
            if contestant.name not in self._tasks:
                self._tasks[contestant.name] = self._rehearse(contestant, traces)
            figures = self._measures(contestant, traces)
        except Failure as failure:
            self._fail(contestant.name, str(failure))
            return
        self._rounds.setdefault(contestant.name, []).append(figures)
        self._say(f"round {number}, {contestant.name}: {figures['drain_per_s']:,.0f} tasks/s")

    def _rehearse(self, contestant: Contestant, traces: str) -> int:
        """A small drain, which warms the caches, says how many tasks are enough."""
        pace = self._on_stage(contestant, traces, lambda stage: submit_and_drain(stage, REHEARSAL))["drain_per_s"]
        return min(self._options.tasks, max(FEWEST, int(pace * LONGEST_DRAIN_SECONDS)))

    def _measures(self, contestant: Contestant, traces: str) -> Figures:
        tasks = self._tasks[contestant.name]
        measures: list[Callable[[Stage], Figures]] = [
            lambda stage: submit_and_drain(stage, tasks),
            lambda stage: drain_by_two(stage, tasks),
            idle_latency,
            naps,
        ]
        if contestant.is_ours:
            measures.append(lambda stage: http_submit(stage, tasks))
        figures: Figures = {"tasks": tasks}
        for measure in measures:
            figures |= self._on_stage(contestant, traces, measure)
        return figures

    def _on_stage(self, contestant: Contestant, traces: str, measure: Callable[[Stage], Figures]) -> Figures:
        folder = self._options.folder / "stage" / contestant.name
        with staged(contestant, folder, traces) as stage:
            figures = measure(stage)
        shutil.rmtree(folder)
        return figures

    def _fail(self, name: str, reason: str) -> None:
        self._results.failures[name] = reason
        self._rounds.pop(name, None)
        self._say(f"{name} is left out: {reason}")
