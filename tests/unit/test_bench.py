"""The bench's own arithmetic: what it counts, how it judges, what it writes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contestants import BENCH, OURS, PEERS, ROOT
from bench.counter import Counter, Tally
from bench.footprint import cpu_seconds, memory_mb
from bench.tables import BEGIN, END, title, write_into
from bench.targets import TARGETS, judge

IMPORTING = {"PYTHONPATH": str(ROOT)}
FORKING = """
import os, pathlib
from bench.counter import Counter
counter = Counter(pathlib.Path.cwd())
counter.note()
if os.fork() == 0:
    counter.note()
    counter.note()
"""


def test_executions_of_a_process_and_its_forks_are_counted_apart(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", f"{FORKING}else:\n    os.wait()"], cwd=tmp_path, env=IMPORTING, check=True)
    tally = Tally(tmp_path)
    assert tally.find() == 3
    assert tally.busy() == 2


def test_only_executions_that_know_when_they_were_sent_have_a_wait(tmp_path: Path) -> None:
    counter, tally = Counter(tmp_path), Tally(tmp_path)
    counter.note()
    counter.note(sent_ns=1_000)
    tally.find()
    assert len(tally.waits_ms()) == 1


def test_a_target_is_a_ratio_to_the_peer_of_the_same_run() -> None:
    figures = {OURS: {"drain_per_s": 15_000.0}, "saq": {"drain_per_s": 3_000.0}, "arq": {"drain_per_s": 4_000.0}}
    verdicts = {verdict.target.peer: verdict for verdict in judge(figures) if verdict.target.figure == "drain_per_s"}
    assert (verdicts["saq"].measured, verdicts["saq"].reached) == (5.0, True)
    assert (verdicts["arq"].measured, verdicts["arq"].reached) == (3.75, False)
    assert (verdicts["celery"].measured, verdicts["celery"].reached) == (None, False)


def test_every_target_names_a_peer_that_is_measured() -> None:
    assert {target.peer for target in TARGETS} - {None, OURS} <= set(PEERS)


def test_the_tables_replace_what_stands_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(page, "new")
    write_into(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_pinned_with_everything_it_needs(name: str) -> None:
    assert (BENCH / "peers" / f"{name}.py").exists()
    pins = (BENCH / "peers" / f"{name}.txt").read_text().splitlines()
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", pin)] == []
    assert title(name).startswith(f"{name} ")


def test_a_process_costs_time_and_memory() -> None:
    assert cpu_seconds(os.getpid()) > 0
    assert memory_mb(os.getpid()) > 1
