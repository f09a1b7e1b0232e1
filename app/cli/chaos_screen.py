"""How a campaign is watched: moving bars on a terminal, a line now and then in a pipe; and how its verdict is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from app.cli.screen import answers, asides
from app.cli.tables import Column, print_table
from orchestrator.chaos.campaign import Progress as Standing
from orchestrator.chaos.verdict import BROKEN_BY, Verdict
from orchestrator.clock import SystemClock

_EVERY_SECONDS = 10.0


class Screen(Protocol):
    """What a campaign tells while it runs."""

    def show(self, standing: Standing) -> None: ...

    def say(self, line: str) -> None: ...


@contextmanager
def screen(tasks: int, faults: int) -> Iterator[Screen]:
    """Give the one that suits standard error."""
    console = asides()
    if not console.is_terminal:
        yield Lines(tasks, faults)
        return
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        yield Bars(progress, tasks, faults)


class Lines:
    """A line for each fault, and one every ten seconds."""

    def __init__(self, tasks: int, faults: int) -> None:
        self._tasks = tasks
        self._faults = faults
        self._console = asides()
        self._clock = SystemClock()
        self._stage = ""
        self._said_at = 0.0

    def show(self, standing: Standing) -> None:
        now = self._clock.monotonic()
        if standing.stage == self._stage and now - self._said_at < _EVERY_SECONDS:
            return
        self._stage, self._said_at = standing.stage, now
        counts = f": {standing.accepted} accepted, {standing.finished} finished of {self._tasks}"
        faults = f"; {standing.faults} of {self._faults} faults"
        self.say(f"{standing.stage}{counts}{faults}" if standing.accepted else standing.stage)

    def say(self, line: str) -> None:
        self._console.print(line)


class Bars:
    """Three bars, what is broken beside them, and the faults passing by above."""

    def __init__(self, progress: Progress, tasks: int, faults: int) -> None:
        self._progress = progress
        self._accepted = self._bar("accepted", tasks)
        self._finished = self._bar("finished", tasks)
        self._faults = self._bar("faults", faults)

    def show(self, standing: Standing) -> None:
        self._progress.update(self._accepted, completed=standing.accepted, now=standing.stage)
        self._progress.update(self._finished, completed=standing.finished)
        self._progress.update(self._faults, completed=standing.faults, now=", ".join(standing.broken))

    def say(self, line: str) -> None:
        self._progress.console.print(Text(line, style="dim"))

    def _bar(self, name: str, total: int) -> TaskID:
        return self._progress.add_task(name, total=total, now="")


def _figure(value: Any) -> Text:
    shown, broken = value
    return Text("-" if shown is None else f"{shown:,}", style="bold red" if broken else "")


def _spelled(value: Any) -> str:
    return "" if value[0] is None else str(value[0])


def _seconds(value: Any) -> str:
    return "" if value is None else f"{value:.2f} s"


FIGURES = (Column("FIGURE", "name"), Column("VALUE", "value", _figure, spell=_spelled))
RECOVERIES = (
    Column("FAULT", "fault"),
    Column("TIMES", "times", str),
    Column("WORK WENT ON AFTER", "median_seconds", _seconds),
    Column("AT WORST", "worst_seconds", _seconds),
    Column("ELSEWHERE WITHIN", "elsewhere_seconds", _seconds),
)


def print_verdict(verdict: Verdict) -> None:
    """Print figures and recovery times, and the verdict in a sentence."""
    document = verdict.document()
    figures = verdict.figures().items()
    print_table(
        [{"name": name, "value": (value, bool(value and name in BROKEN_BY))} for name, value in figures], FIGURES
    )
    answers().print("")
    print_table(document["recovery"], RECOVERIES)  # type: ignore[arg-type]
    answers().print("")
    if verdict.is_sound:
        answers().print(Text("every promise held", style="bold green"))
        return
    drained = "" if verdict.drained_seconds is not None else "; it did not drain"
    answers().print(Text(f"a promise was broken{drained}: {document['suspects']}", style="bold red"))
