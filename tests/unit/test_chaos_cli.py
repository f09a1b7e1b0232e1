"""`aurea chaos` before and after the campaign: what it refuses, what it asks for, how it tells the verdict."""

import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import chaos
from app.cli.chaos_screen import Lines, print_verdict
from app.cli.main import cli
from orchestrator.chaos.campaign import Progress
from orchestrator.chaos.checker import Findings, check
from orchestrator.chaos.history import Record
from orchestrator.chaos.options import Options
from orchestrator.chaos.recovery import Recovery
from orchestrator.chaos.verdict import Verdict

HANDLERS = """
from pydantic import BaseModel
from orchestrator.sdk import task

class Word(BaseModel):
    word: str

@task("shout")
def shout(payload: Word) -> str:
    return payload.word.upper()
"""
ASKED: list[Options] = []


def verdict_on(found: Findings, drained_seconds: float | None = 0.5) -> Verdict:
    recoveries = [Recovery("worker_killed", 3, 0.01, 0.02, 4.2)]
    return Verdict(7, found, 12.0, drained_seconds, 2, (1.5, 20.0), {"worker_killed": 3}, {}, 1, recoveries)


SOUND = check([], [], [], [])
LOSING = check([Record(1.0, "client-0", "submit", "ok", ("k",), ("gone",))], [], [], [])


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No campaign runs, and what it would leave is here."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "mine.py").write_text(HANDLERS)
    ASKED.clear()

    def run(options: Options) -> Verdict:
        ASKED.append(options)
        return verdict_on(LOSING if options.seed == 13 else SOUND)

    monkeypatch.setattr(chaos, "_run", run)
    return tmp_path


def asked(*arguments: object) -> Options:
    told = CliRunner().invoke(cli, ["chaos", *map(str, arguments)])
    assert told.exit_code == 0, told.output
    return ASKED[-1]


def test_without_options_it_is_the_short_campaign() -> None:
    options = asked()
    assert (options.tasks, options.faults, options.workers, options.seed) == (5_000, 40, 3, 1)


def test_minutes_ask_for_as_much_as_fits() -> None:
    options = asked("--minutes", 10)
    assert (options.tasks, options.faults, options.spacing_seconds) == (48_000, 666, pytest.approx(0.9, abs=0.01))
    assert asked("--minutes", 10, "--tasks", 5, "--faults", 6).spacing_seconds == 100
    assert (ASKED[-1].tasks, ASKED[-1].faults) == (5, 6)


def test_a_handler_is_given_the_payload_of_its_type(folders: Path) -> None:
    options = asked("--handlers", folders / "mine.py", "--payload", 'shout={"word":"a=b"}', "--payload", "hello={}")
    assert options.payloads == {"shout": b'{"word":"a=b"}', "hello": b"{}"}
    assert options.handlers == str(folders / "mine.py")


@pytest.mark.parametrize("payload", [["--payload", "shout={}"], []])
def test_a_payload_that_its_handler_refuses_is_refused_before_anything_starts(
    folders: Path, payload: list[str]
) -> None:
    told = CliRunner().invoke(cli, ["chaos", "--handlers", str(folders / "mine.py"), *payload])
    assert told.exit_code == 1
    assert "/payload/word" in told.output
    assert (ASKED, list((folders / "temporary").iterdir())) == ([], [])


@pytest.mark.parametrize("payload", ["shout", "nobody={}", "shout={"])
def test_a_payload_that_cannot_be_read_is_refused_with_the_form(folders: Path, payload: str) -> None:
    told = CliRunner().invoke(cli, ["chaos", "--handlers", str(folders / "mine.py"), "--payload", payload])
    assert told.exit_code == 2
    assert ASKED == []


def test_a_broken_promise_ends_with_one_and_keeps_the_folder(folders: Path) -> None:
    assert CliRunner().invoke(cli, ["chaos", "--seed", "12"]).exit_code == 0
    assert list((folders / "temporary").iterdir()) == []
    told = CliRunner().invoke(cli, ["chaos", "--seed", "13"])
    assert told.exit_code == 1
    [kept] = (folders / "temporary").iterdir()
    assert str(kept) in told.output


def test_a_pipe_gets_a_figure_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(verdict_on(LOSING))
    lines = capsys.readouterr().out.splitlines()
    assert {"accepted\t1", "lost\t1", "stale_writes_refused\t2", "worker_killed\t3\t0.01\t0.02\t4.2"} <= set(lines)
    assert lines[-1].startswith("a promise was broken: ")
    assert "'lost': ['gone']" in lines[-1]


def test_a_campaign_that_did_not_drain_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict(verdict_on(SOUND, drained_seconds=None))
    assert "it did not drain" in capsys.readouterr().out


def test_lines_are_told_at_each_stage_and_not_at_each_look(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Lines(tasks=10, faults=2)
    shown.show(Progress("starting"))
    for accepted in (3, 4, 5):
        shown.show(Progress("breaking", accepted, 1, 1))
    shown.say("worker_killed on worker1 for 0.1 s")
    assert capsys.readouterr().err.splitlines() == [
        "starting",
        "breaking: 3 accepted, 1 finished of 10; 1 of 2 faults",
        "worker_killed on worker1 for 0.1 s",
    ]
