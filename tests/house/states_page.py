"""docs/states.md, printed from the transition table. To write it anew: python -m tests.house.states_page

The causes of the moves stand here and not in the table, because only people read them; a test demands one for each.
"""

import inspect
import re
from pathlib import Path

from orchestrator.domain.states import FINAL, TRANSITIONS, RunStatus, State

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

AGAIN = "`retry`"
CANCEL = "`cancel`"
CAUSES = {
    (State.SCHEDULED, State.QUEUED): "it is due",
    (State.SCHEDULED, State.CANCELLED): CANCEL,
    (State.SCHEDULED, State.EXPIRED): "`expires_at` passed before it started",
    (State.QUEUED, State.RUNNING): "a worker claims it",
    (State.QUEUED, State.CANCELLED): CANCEL,
    (State.QUEUED, State.EXPIRED): "`expires_at` passed before it started",
    (State.RUNNING, State.SUCCEEDED): "the handler returned",
    (State.RUNNING, State.FAILED): "a terminal error, the last retry used up, or a crash too many",
    (State.RUNNING, State.RETRYING): "an error that a retry may cure",
    (State.RUNNING, State.WAITING): "the handler waits for something and gives its worker back",
    (State.RUNNING, State.QUEUED): "its worker left and gave it back, or vanished",
    (State.RUNNING, State.CANCELLED): CANCEL,
    (State.RETRYING, State.QUEUED): "its next attempt is due",
    (State.RETRYING, State.CANCELLED): CANCEL,
    (State.WAITING, State.QUEUED): "what it waited for came",
    (State.WAITING, State.FAILED): "what it waited for can no longer come",
    (State.WAITING, State.CANCELLED): CANCEL,
    (State.SUCCEEDED, State.QUEUED): AGAIN,
    (State.FAILED, State.QUEUED): "`retry`, or a replay of dead letters",
    (State.FAILED, State.SCHEDULED): "a replay of many at a rate",
    (State.CANCELLED, State.QUEUED): AGAIN,
    (State.EXPIRED, State.QUEUED): AGAIN,
}

OPENING = """\
# The states of a task

Printed from `orchestrator/domain/states.py` by `python -m tests.house.states_page`; a test holds both equal.

A task is in one state at a time. Every move is written under a [fence](adr/0002-the-fence-and-its-epoch.md),
so of two writers that disagree the newer one wins. The last four states are final: only `retry` leaves them, and the
task keeps its id and its history then.
"""


def page() -> str:
    """Return the whole page."""
    parts = [OPENING, _diagram(), "## What each state means\n", _meanings(State), "## What moves it\n", _moves()]
    parts += [
        "## How an attempt stands\n",
        "Each attempt has a status of its own, kept with its times, worker and error (`GET /tasks/{id}/runs`).\n",
        _meanings(RunStatus),
    ]
    return "\n".join(parts)


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> queued", "    [*] --> scheduled"]
    lines += [f"    {state} --> {to}" for state in State if state not in FINAL for to in _sorted(TRANSITIONS[state])]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join([*lines, "```", ""])


def _moves() -> str:
    rows = [f"| {state} | {to} | {CAUSES[state, to]} |" for state in State for to in _sorted(TRANSITIONS[state])]
    return "\n".join(["| from | to | when |", "|---|---|---|", *rows, ""])


def _meanings(names: type[State] | type[RunStatus]) -> str:
    """A table of the values and the comments behind them in the source."""
    said = dict(re.findall(r'= "(\w+)"  # (.*)', inspect.getsource(names)))
    rows = [f"| `{name}` | {said[name]} |" for name in names]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def _sorted(moves: frozenset[State]) -> list[State]:
    return sorted(moves, key=list(State).index)


if __name__ == "__main__":
    PAGE.write_text(page())
