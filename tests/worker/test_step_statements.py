"""What durable steps cost: a task with ten of them writes to Postgres ten times more, and once to be on record."""

import re
from collections import Counter

import pytest

from orchestrator.domain.states import State
from orchestrator.ledger.database import Database
from tests.worker.conftest import House

WRITES = re.compile(r"\b(insert into|update|delete from) orchestrator_")


async def statements(house: House, sent: Counter[str], kind: str) -> int:
    """How many writes a task of this kind takes from its first claim to its end."""
    task = await house.submit(kind)
    sent.clear()
    async with house.worker():
        assert (await house.ended(task)).status is State.SUCCEEDED
    return sum(number for sql, number in sent.items() if WRITES.search(sql))


async def test_a_step_costs_one_statement(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: Counter[str] = Counter()
    asked = Database._answer

    async def answer(self: Database, asking: str, sql: str, arguments: tuple[object, ...]) -> object:
        sent[sql] += 1
        return await asked(self, asking, sql, arguments)

    monkeypatch.setattr(Database, "_answer", answer)
    without = await statements(house, sent, "count")
    assert await statements(house, sent, "ten_steps") - without <= 10 + 1  # one puts the attempt on record before them
    assert sum(number for sql, number in sent.items() if "into orchestrator_steps" in sql) == 10
