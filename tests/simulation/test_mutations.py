"""The simulation bites: each safeguard that is taken away is missed within a few seeds."""

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation, search

SEEDS = range(1, 13)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_safeguard_that_is_taken_away_is_missed(mutation: Mutation) -> None:
    outcome = search(mutation, SEEDS)
    assert {violation.promise for violation in outcome.violations} & set(mutation.missed_as)
