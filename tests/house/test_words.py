"""The house's words: names that say nothing are refused, and so is work that was put off."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for folder in ("app", "orchestrator", "handlers", "cron", "bench") for path in (ROOT / folder).rglob("*.py")
)
EMPTY_WORDS = re.compile(r"(^|_)(utils?|common|helpers?|misc|manager|info)(_|$)|^do_")
PUT_OFF = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HACK)\b")
ONE_READER = ROOT / "orchestrator" / "settings.py"


def names(tree: ast.AST) -> list[str]:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in ast.walk(tree) if isinstance(node, defined)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_something(path: Path) -> None:
    spelled = [path.stem, *names(ast.parse(path.read_text()))]
    spelled = [name for name in spelled if name != "do_POST"]  # http.server's name for it
    snake = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in spelled]
    assert [name for name in snake if EMPTY_WORDS.search(name)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_put_off(path: Path) -> None:
    assert PUT_OFF.findall(path.read_text()) == []


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_only_the_settings_read_the_environment() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path != ONE_READER and re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    ]
    # A launcher hands its own environment on to the processes it starts; it reads nothing from it.
    assert [reader for reader in readers if not reader.startswith("bench/")] == []
