"""The states stand in three places: the Enum, the SQL type, the transition table. They are equal."""

import re
from pathlib import Path

from orchestrator.domain.states import FINAL, TRANSITIONS, RunStatus, State

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def sql_enum(name: str) -> list[str]:
    text = "\n".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))
    body = re.search(rf"create type {name} as enum \((.*?)\);", text, re.DOTALL)
    assert body is not None
    later = re.findall(rf"alter type {name} add value '(\w+)'", text)
    return re.findall(r"'(\w+)'", body.group(1)) + later


def test_the_sql_type_lists_the_states_of_the_enum() -> None:
    assert sql_enum("orchestrator_state") == [state.value for state in State]


def test_the_sql_type_lists_the_run_statuses_of_the_enum() -> None:
    assert sorted(sql_enum("orchestrator_run_status")) == sorted(status.value for status in RunStatus)


def test_the_table_has_a_row_for_every_state() -> None:
    assert set(TRANSITIONS) == set(State)


def test_only_a_replay_leaves_a_final_state() -> None:
    assert {moves for state in FINAL for moves in TRANSITIONS[state]} == {State.QUEUED, State.SCHEDULED}
