"""Crash points: unarmed they let everybody pass, armed they kill at the pass that was named."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from orchestrator import crash
from orchestrator.domain.errors import InvalidInput
from orchestrator.settings import read_settings

PROGRAM = """
import sys
from orchestrator import crash
crash.arm(sys.argv[1:])
for number in range(1, 4):
    crash.at("popped")
    crash.at("claimed")
    print(number, flush=True)
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    crash.arm(())


def survived(*points: str) -> tuple[int, int]:
    """The exit code, and how many rounds were finished."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *points], capture_output=True, text=True)
    return done.returncode, len(done.stdout.split())


def test_an_unarmed_point_lets_everybody_pass() -> None:
    assert survived() == (0, 3)
    assert survived("inserted") == (0, 3)


@pytest.mark.parametrize(("point", "rounds"), [("popped", 0), ("claimed:2", 1), ("popped:3", 2)])
def test_an_armed_point_kills_at_its_pass(point: str, rounds: int) -> None:
    assert survived(point) == (-signal.SIGKILL, rounds)


@pytest.mark.parametrize("point", ["nowhere", "popped:0", "popped:x", "popped:-1"])
def test_what_is_no_point_is_refused_at_start(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"write popped|no crash point"):
        crash.arm([point])
    monkeypatch.setenv("AUREA_CRASH_AT", point)
    with pytest.raises(InvalidInput) as refusal:
        read_settings()
    assert [issue.pointer for issue in refusal.value.issues] == ["AUREA_CRASH_AT"]
