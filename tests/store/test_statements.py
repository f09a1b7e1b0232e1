"""The SQL files: every statement can be found by its name, and a method of that name uses it."""

from pathlib import Path

import asyncpg
import pytest

from orchestrator.ledger.statements import load

ORCHESTRATOR = Path(__file__).parents[2] / "orchestrator"
STEMS = sorted(path.stem for path in ORCHESTRATOR.glob("ledger/sql/*.sql"))


@pytest.mark.parametrize("stem", STEMS)
async def test_every_statement_is_understood_by_the_migrated_database(pool: asyncpg.Pool, stem: str) -> None:
    statements = {name: sql for name, sql in load(stem).items() if ";" not in sql}
    async with pool.acquire() as connection:
        await connection.execute(load("migrate")["prepare"])
        for sql in statements.values():
            await connection.prepare(sql)


@pytest.mark.parametrize("stem", STEMS)
def test_every_statement_is_used_by_the_module_of_its_file(stem: str) -> None:
    modules = [ORCHESTRATOR / f"{stem}.py", ORCHESTRATOR / "ledger" / f"{stem}.py"]
    text = "".join(module.read_text() for module in modules if module.exists())
    unused = [name for name in load(stem) if f'_SQL["{name}"]' not in text]
    assert unused == []
