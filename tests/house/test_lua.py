"""Every Lua script says what it takes and gives, and that is what it and its caller do."""

import re
from pathlib import Path

import pytest

from orchestrator.queue.scripts import SCRIPTS as WHOLE

QUEUE = Path(__file__).parents[2] / "orchestrator" / "queue"
SCRIPTS = sorted(path for path in (QUEUE / "lua").glob("*.lua") if path.stem != "prelude")
CALLERS = "\n".join(path.read_text() for path in QUEUE.glob("*.py"))


def header(path: Path) -> str:
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return "\n".join(lines)


def section(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s+(.*?)(?=^[A-Z]{{4,}}\s|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, f"the header names no {name}"
    return " ".join(found.group(1).split())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_header_names_every_key(path: Path) -> None:
    named = section(header(path), "KEYS")
    # Commas inside brackets belong to the description of one key.
    count = len(re.sub(r"\([^)]*\)", "", named).split(","))
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", WHOLE[path.stem].source)}
    assert max(used) == count


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_header_names_every_reply(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r'\{"(\w+)"', section(header(path), "RETURNS")))
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    words = set(re.findall(r'return \{ "(\w+)"', code)) | set(re.findall(r'reply\b[^\n]*= .*\{ "(\w+)"', code))
    words |= set(re.findall(r'refuse\("(\w+)"\)', code))
    assert words <= named
    assert named


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_typed_method_calls_it(path: Path) -> None:
    assert re.search(rf'"{path.stem}"', CALLERS), f"nothing calls {path.name}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_spells_no_key_of_its_own(path: Path) -> None:
    assert "aurea:" not in path.read_text()
