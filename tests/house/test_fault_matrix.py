"""Every row of the fault matrix has a test whose docstring names it, and `docs/reliability.md` says where."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = set(range(1, 43))


def _named() -> dict[str, set[int]]:
    """The rows that the tests of each file name."""
    found: dict[str, set[int]] = {}
    for path in (ROOT / "tests" / "faults").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = re.match(r"Rows? ([\d, ]+):", ast.get_docstring(node) or "") if _is_test(node) else None
            if named:
                found.setdefault(path.name, set()).update(map(int, named.group(1).split(", ")))
    return found


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")


def _documented() -> dict[str, set[int]]:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| ([\d, ]+) \|.*`(test_\w+\.py)` \|$", page, re.MULTILINE)
    return {name: set(map(int, rows.split(", "))) for rows, name in lines}


def test_no_row_is_without_a_test() -> None:
    assert set().union(*_named().values()) == ROWS


def test_the_page_says_where_each_row_is_tried() -> None:
    assert _documented() == _named()
