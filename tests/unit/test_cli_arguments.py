"""What people type, read as it was meant or refused with the form that works."""

import subprocess
import sys

import pytest
import typer

from app.cli.arguments import read_span, read_tags
from app.cli.screen import plain
from app.cli.tables import span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("250ms", 0.25),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1.5h", 5400),
        ("7", 7),
        ("0.5", 0.5),
    ],
)
def test_a_span_is_read_in_seconds(text: str, seconds: float):
    assert read_span(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "10 s", "ten", "-1s", "1h-5m", "1w", "1e3", "nan", "inf", "٣s", "9" * 400])
def test_what_is_no_span_is_refused(text: str):
    with pytest.raises(typer.BadParameter, match="1h30m"):
        read_span(text)


def test_a_tag_may_hold_an_equals_sign_in_its_value():
    assert read_tags(["a=b=c", "empty="]) == {"a": "b=c", "empty": ""}


@pytest.mark.parametrize("text", ["novalue", "=value", ""])
def test_what_is_no_tag_is_refused(text: str):
    with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
        read_tags([text])


def test_control_characters_of_any_kind_are_shown_as_such():
    assert plain("a\x1b[31mb\x07c\rd\x9be\u202ef") == "a�[31mb�c�d�e�f"
    assert plain("line\n\ttab é 日本 🙂") == "line\n\ttab é 日本 🙂"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (0.25, "0.2 s"), (59, "59 s"), (119, "119 s"), (120, "2 min"), (86400 * 3, "3 d")]
)
def test_a_span_is_shown_in_its_largest_fitting_unit(seconds: float, text: str):
    assert span(seconds) == text


@pytest.mark.parametrize("module", ["submit", "tasks", "dead", "queues", "workers"])
def test_a_verb_loads_no_server_and_no_store(module: str):
    heavy = ("orchestrator.operations", "orchestrator.ledger", "orchestrator.queue", "asyncpg", "redis", "fastapi")
    program = f"import sys, app.cli.{module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


WORKER = """
import sys, app.cli.main
from app.cli.serve import _spare_rich; _spare_rich()
import orchestrator.wiring
from orchestrator.artifacts.choice import choose
from orchestrator.discovery import discover
from orchestrator.egress import open_client
from orchestrator.egress.client import _trust
from orchestrator.settings import Settings
from orchestrator.telemetry.traces import open_traces

choose(Settings(_env_file=None).artifact_choice), discover(()), open_client()
open_traces("http://127.0.0.1:9", 0, "aurea-worker").stop()
print([name for name in sys.argv[1:] if name in sys.modules], _trust.cache_info().currsize)
import rich.console, httpx, requests
"""
"""All that `aurea worker` opens but its stores; behind it, what was hidden from others is there."""


def test_a_worker_loads_nothing_that_most_never_use():
    terminals, files, collectors = ("rich", "pygments"), ("obstore",), ("httpx", "requests", "urllib3")
    spared = (*terminals, *files, *collectors, "charset_normalizer", "prometheus_client", "http.server")
    done = subprocess.run([sys.executable, "-c", WORKER, *spared], capture_output=True, text=True, check=True)
    assert done.stdout == "[] 0\n"
