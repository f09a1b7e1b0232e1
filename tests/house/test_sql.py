"""Every SQL statement is planned against the migrated database: a misspelt column fails without a test of its own."""

import ast
import re
from pathlib import Path

import asyncpg
import pytest

from orchestrator.ledger.statements import load

LEDGER = Path(__file__).parents[2] / "orchestrator" / "ledger"
STEMS = sorted(path.stem for path in (LEDGER / "sql").glob("*.sql"))
CREATES = ("create", "alter")


@pytest.mark.parametrize("stem", STEMS)
async def test_every_statement_is_planned(stem: str, pool: asyncpg.Pool) -> None:
    statements = load(stem)
    assert statements
    for name, sql in statements.items():
        words = sql.lstrip("- ").lower()
        if any(line.strip().lower().startswith(CREATES) for line in words.splitlines()):
            continue  # Postgres plans no definitions; the migration that runs it is the test
        # Sent as plain text: only so does Postgres plan a statement whose parameters have no values.
        assert await pool.execute(f"explain (generic_plan) {sql}") == "EXPLAIN", name


@pytest.mark.parametrize("stem", [stem for stem in STEMS if (LEDGER / f"{stem}.py").exists()])
def test_every_statement_has_its_user_in_the_module_of_its_name(stem: str) -> None:
    module = (LEDGER / f"{stem}.py").read_text()
    used = set(re.findall(r'_SQL\["(\w+)"\]', module))
    assert used == set(load(stem))


def test_no_module_of_ours_spells_sql() -> None:
    spelled = re.compile(r"^\s*(select|insert into|update|delete from)\s", re.IGNORECASE)
    guilty = {}
    for folder in ("app", "orchestrator", "handlers", "cron"):
        for path in (LEDGER.parents[1] / folder).rglob("*.py"):
            texts = [
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and spelled.match(node.value)
            ]
            if texts:
                guilty[path.name] = texts
    assert guilty == {}
