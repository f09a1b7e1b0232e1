"""The figures as tables: absolute ones, ratios to ours, and how each target came out; for a terminal and for the docs.

The same Markdown serves both: it is readable as it stands.
"""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.contestants import BENCH, OURS
from bench.measures import Figures
from bench.runner import Options, Results
from bench.targets import Verdict, judge

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
ABSENT = "–"


def report(results: Results, options: Options) -> str:
    """Everything the run found, as Markdown."""
    figures = results.figures
    blocks = [
        f"{datetime.now(UTC).date().isoformat()}, {machine()}. {options.rounds} round(s); medians.",
        _table(_DRAIN, figures),
        _table(_SUBMIT, figures),
    ]
    if OURS in figures:
        blocks.append("\n".join(_http(figures[OURS])))
        blocks.append("\n".join(_verdicts(judge(figures))))
    if results.failures:
        blocks.append("\n".join(f"- {name} is missing: {reason}" for name, reason in results.failures.items()))
    return "\n\n".join(blocks)


def write_into(page: Path, text: str) -> None:
    """Replace what stands between the two markers of this page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def machine() -> str:
    """What this run was made on, in words."""
    processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    model = processors[0].partition(":")[2].strip() if processors else platform.machine()
    return f"{len(processors)} × {model}, {memory_kb / 2**20:.0f} GiB, Python {platform.python_version()}"


def title(name: str) -> str:
    """A contestant with its version."""
    if name == OURS:
        return f"**{OURS} {version('aurea-orchestrator')}**"
    pins = (BENCH / "peers" / f"{name}.txt").read_text().splitlines()
    return next(f"{name} {pin.partition('==')[2]}" for pin in pins if pin.startswith(f"{name}=="))


Cell = Callable[[Figures, Figures], str]
"""A contestant's figures and ours -> what stands in the cell."""


def _plain(figure: str, form: str, scale: float = 1) -> Cell:
    return lambda theirs, _: format(theirs[figure] * scale, form) if figure in theirs else ABSENT


def _ratio(figure: str) -> Cell:
    def cell(theirs: Figures, ours: Figures) -> str:
        return f"{ours[figure] / theirs[figure]:.1f}" if figure in theirs and figure in ours else ABSENT

    return cell


_DRAIN: Mapping[str, Cell] = {
    "tasks": _plain("tasks", ",.0f"),
    "drain/s, 1 worker": _plain("drain_per_s", ",.0f"),
    "ours is ×": _ratio("drain_per_s"),
    "2 workers": _plain("drain_two_per_s", ",.0f"),
    "worker CPU s/1,000": _plain("worker_cpu", ".3f"),
    "Postgres": _plain("postgres_cpu", ".3f"),
    "Valkey": _plain("valkey_cpu", ".3f"),
    "worker MB": _plain("memory_mb", ".0f"),
}
_SUBMIT: Mapping[str, Cell] = {
    "one by one/s": _plain("send_per_s", ",.0f"),
    "ours is ×": _ratio("send_per_s"),
    "bulk/s": _plain("fill_per_s", ",.0f"),
    "latency p50 ms": _plain("latency_p50_ms", ".2f"),
    "p99 ms": _plain("latency_p99_ms", ".2f"),
    "50 ms waits, % of ideal": _plain("nap_share", ".0f", 100),
}


def _table(columns: Mapping[str, Cell], figures: Mapping[str, Figures]) -> str:
    ours = figures.get(OURS, {})
    rows = [[title(name), *(cell(theirs, ours) for cell in columns.values())] for name, theirs in figures.items()]
    return "\n".join(_lines(["system", *columns], rows))


def _http(ours: Figures) -> Iterable[str]:
    rows = [
        [
            "from submit, the commit included, to the start",
            f"{ours['submit_p50_ms']:.2f}, {ours['submit_p99_ms']:.2f} ms",
        ],
        ["POST /tasks, 64 connections", f"{ours['post_per_s']:,.0f} tasks/s"],
        ["POST /tasks/batch, 100 a request", f"{ours['post_batch_per_s']:,.0f} tasks/s"],
    ]
    return _lines(["ours alone, committed and queued", "rate, or p50 and p99"], rows)


def _verdicts(verdicts: Iterable[Verdict]) -> Iterable[str]:
    rows = []
    for verdict in verdicts:
        target, measured = verdict.target, verdict.measured
        times = "×" if target.peer else ""
        asked = f"{'≤' if target.at_most else '≥'} {target.bound:g}{times}"
        if measured is None:
            rows.append([target.what, asked, ABSENT, "not measured"])
        else:
            rows.append([target.what, asked, f"{measured:.2f}{times}", "reached" if verdict.reached else "**missed**"])
    return _lines(["target", "asked", "measured", ""], rows)


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """A Markdown table whose columns are aligned: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        aligned = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        return f"| {' | '.join(aligned)} |"

    rule = [f"{'-' * widths[0]}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return [line(head), f"| {' | '.join(rule)} |", *map(line, rows)]
