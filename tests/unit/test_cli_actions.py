"""`aurea actions`: what it says of a file, how it draws it, and what it sends."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from app.cli import submit
from app.cli.main import cli

EXAMPLES = Path(__file__).parents[2] / "examples"
BROKEN = """\
inputs:
  word: {type: string}
  count: {type: integer}
steps:
  - id: one
    uses: helo
  - id: two
    uses: hello
    needs: [three]
    with: {name: "{{ inputs.wrd }}", seconds: soon}
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    return file


def actions(*args: object) -> Result:
    return CliRunner().invoke(cli, ["actions", *map(str, args)], env={"NO_COLOR": "1"})


def test_every_problem_is_told_at_once_with_its_line(broken: Path) -> None:
    result = actions("check", broken)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{broken}:6", "/steps/0/uses"],
        [f"{broken}:9", "/steps/1/needs/0"],
        [f"{broken}:10", "/steps/1/with/name"],
        [f"{broken}:10", "/steps/1/with/seconds"],
    ]
    assert "no handler is called 'helo'" in lines[0]


def test_programs_get_json(broken: Path) -> None:
    result = actions("check", broken, "--json")
    (document,) = orjson.loads(result.stdout)
    assert (result.exit_code, document["file"]) == (1, str(broken))
    assert document["problems"][0].keys() == {"pointer", "line", "detail"}


def test_handlers_of_one_s_own_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from orchestrator.sdk import task\n@task('shout_test')\ndef shout(payload: dict) -> None: ...\n"
    )
    (tmp_path / "a.json").write_text('{"steps": [{"id": "a", "uses": "shout_test"}]}')
    assert actions("check", tmp_path / "a.json").exit_code == 1
    monkeypatch.setenv("AUREA_HANDLERS", str(tmp_path / "mine.py"))
    result = actions("check", tmp_path / "a.json")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'a.json'}: 1 steps, nothing wrong\n")


def test_what_is_no_workflow_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps: [")
    result = actions("check", tmp_path / "a.yaml")
    assert result.exit_code == 1
    assert "is not YAML" in result.stdout
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    assert "cannot be read" in actions("check", tmp_path / "b.yaml").stderr
    assert actions("check", tmp_path / "none.yaml").exit_code == 2


def test_a_sound_one_is_drawn_and_no_other(broken: Path) -> None:
    result = actions("draw", EXAMPLES / "release.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith("flowchart TD\n")
    assert "    s_deploy --> s_look\n" in result.stdout
    result = actions("draw", broken)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "/steps/1/needs/0" in result.stderr


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_examples_are_sound(file: Path) -> None:
    result = actions("check", file)
    assert result.exit_code == 0, result.stdout


def test_the_example_of_the_documentation_is_sound(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "handlers" / "aurea_action.md").read_text()
    (tmp_path / "a.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    assert actions("check", tmp_path / "a.yaml").stdout.endswith("3 steps, nothing wrong\n")


def test_a_file_becomes_a_task_with_its_inputs_as_they_are_declared(
    broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}
    monkeypatch.setattr(submit, "submit", lambda kind, **options: sent.update(options, kind=kind))
    given = ["--input", "word=5", "--input", "count=5", "--input", "free=a=b"]
    assert actions("run", broken, *given, "--wait").exit_code == 0
    assert orjson.loads(sent["payload"]) == {"workflow": BROKEN, "inputs": {"word": "5", "count": 5, "free": "a=b"}}
    assert (sent["kind"], sent["wait"], sent["follow_it"]) == ("aurea_action", True, False)
    assert actions("run", broken, "--input", "word").exit_code == 2


def test_an_unknown_type_is_told_with_the_handlers_that_this_shell_knows(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUREA_HANDLERS", raising=False)
    unknown, *others = actions("check", broken).stdout.splitlines()
    assert unknown.endswith("; AUREA_HANDLERS is not set in this shell")
    assert "AUREA_HANDLERS" not in str(others)
    mine = tmp_path / "mine.py"
    mine.write_text("from orchestrator.sdk import task\n@task('shout_test')\ndef shout(payload: dict) -> None: ...\n")
    monkeypatch.setenv("AUREA_HANDLERS", str(mine))
    assert actions("check", broken).stdout.splitlines()[0].endswith(f"; AUREA_HANDLERS of this shell is {mine}")
