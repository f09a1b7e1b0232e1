"""The house's sizes: what no longer fits on a few screens has more than one idea in it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for folder in ("app", "orchestrator", "handlers", "cron", "bench") for path in (ROOT / folder).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LUA = sorted((ROOT / "orchestrator").rglob("*.lua"))
SQL = sorted((ROOT / "orchestrator").rglob("*.sql"))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_at_most_300_lines() -> None:
    assert {str(path.relative_to(ROOT)): lines(path) for path in SOURCES if lines(path) > 300} == {}


def test_test_files_are_at_most_400_lines() -> None:
    assert {str(path.relative_to(ROOT)): lines(path) for path in TESTS if lines(path) > 400} == {}


def test_lua_files_are_at_most_80_lines() -> None:
    assert {str(path.relative_to(ROOT)): lines(path) for path in LUA if lines(path) > 80} == {}


def test_sql_statements_are_at_most_40_lines() -> None:
    long = {}
    for path in SQL:
        for block in path.read_text().split("-- name:")[1:]:
            count = len([line for line in block.splitlines()[1:] if line.strip() and not line.startswith("--")])
            if count > 40:
                long[f"{path.name}:{block.split()[0]}"] = count
    assert long == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_at_most_40_lines(path: Path) -> None:
    long = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            docstring = ast.get_docstring(node)
            length -= len(docstring.splitlines()) + 1 if docstring else 0
            if length > 40:
                long[node.name] = length
    assert long == {}
