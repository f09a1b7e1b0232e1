"""The page about states says what the table says."""

from orchestrator.domain.states import TRANSITIONS
from tests.house.states_page import CAUSES, PAGE, page


def test_every_move_has_a_cause_and_no_cause_is_left_over():
    assert set(CAUSES) == {(state, to) for state, moves in TRANSITIONS.items() for to in moves}


def test_the_page_is_the_printed_one():
    assert PAGE.read_text() == page(), "write it anew: python -m tests.house.states_page"
