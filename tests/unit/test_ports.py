"""Two who look for ports in the same order, as two processes may, do not find the same ones."""

import random

import pytest

from orchestrator.chaos import ports


def test_a_port_that_was_given_out_is_not_given_again_though_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for _ in range(2):
        monkeypatch.setattr(ports, "_ORDER", random.Random(7))
        found += [ports.quiet_port() for _ in range(5)]
    assert len(set(found)) == 10
