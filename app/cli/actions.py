"""`aurea actions`: check and draw workflows that are written in files, and run them.

Checking and drawing need no running system: the handlers are those found here, AUREA_HANDLERS included.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.cli.arguments import AsJson
from app.cli.screen import answers, complain, plain, print_json
from orchestrator.domain.errors import Issue

if TYPE_CHECKING:
    from orchestrator.sdk.workflow import Reading

verbs = typer.Typer(name="actions", help="Check, draw and run workflows that are written in files.")

_File = typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A workflow in YAML or JSON.")
File = Annotated[Path, _File]
Files = Annotated[list[Path], _File]
Inputs = Annotated[list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input; may be repeated.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: the same key gives the same task.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 0 only if it succeeded, else 3.")]
Follow = Annotated[bool, typer.Option("--follow", help="Print its events as they come; exit codes as --wait.")]

_UNKNOWN = "no handler is called "
"""How the fault of an unknown type begins."""


@verbs.command()
def check(files: Files, as_json: AsJson = False) -> None:
    """Say everything that is wrong with workflows; exit 1 if anything is."""
    from orchestrator.discovery import discover
    from orchestrator.sdk.workflow import check_workflow
    from orchestrator.settings import read_settings

    own = read_settings().aurea_handlers
    types = discover(own)
    readings = [(file, _read(file)) for file in files]
    found = [(file, reading, _explained(check_workflow(reading, types), own)) for file, reading in readings]
    if as_json:
        print_json([_document(*each) for each in found])
    for file, reading, issues in found if not as_json else ():
        for line in _lines(file, reading, issues):
            answers().print(plain(line))
    if any(issues for _, _, issues in found):
        raise typer.Exit(1)


@verbs.command()
def draw(file: File) -> None:
    """Print a workflow as a Mermaid flowchart."""
    from orchestrator.sdk.workflow import draw

    reading = _read(file)
    if reading.issues or reading.workflow is None:
        complain("only a sound workflow can be drawn", *_lines(file, reading, reading.issues))
    typer.echo(draw(reading.workflow), nl=False)


@verbs.command()
def run(
    file: File,
    given: Inputs = None,
    key: Key = None,
    wait: Wait = False,
    follow_it: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Create a task that runs a workflow."""
    from app.cli.submit import submit
    from orchestrator.sdk.workflow import WORKFLOW_TYPE

    payload = {"workflow": _text(file), "inputs": _inputs(_read(file), given or [])}
    submit(
        WORKFLOW_TYPE, payload=orjson.dumps(payload).decode(), key=key, wait=wait, follow_it=follow_it, as_json=as_json
    )


def _read(file: Path) -> "Reading":
    from orchestrator.sdk.workflow import read

    return read(_text(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        complain(f"{file} cannot be read: {error}")


def _inputs(reading: "Reading", given: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE as the workflow declares it: a string as it stands, anything else as JSON if it is some."""
    kinds = {each.name: each.type for each in reading.workflow.inputs} if reading.workflow else {}
    inputs: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not an input: write NAME=VALUE", param_hint="--input")
        inputs[name] = value if kinds.get(name) == "string" else _json_or_text(value)
    return inputs


def _json_or_text(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _lines(file: Path, reading: "Reading", issues: Sequence[Issue]) -> list[str]:
    """Return a line for each fault as compilers write it, so that editors jump to it."""
    if not issues and reading.workflow is not None:
        return [f"{file}: {len(reading.workflow.steps)} steps, nothing wrong"]
    places = sorted(((reading.line_of(issue.pointer), issue) for issue in issues), key=lambda place: place[0] or 0)
    return [
        ": ".join(filter(None, (f"{file}:{line}" if line else str(file), issue.pointer, issue.detail)))
        for line, issue in places
    ]


def _explained(issues: Sequence[Issue], own: Sequence[str]) -> list[Issue]:
    """Say of unknown types whose types they were looked for among: the running system may know others."""
    here = f"AUREA_HANDLERS of this shell is {','.join(own)}" if own else "AUREA_HANDLERS is not set in this shell"
    return [
        replace(issue, detail=f"{issue.detail}; {here}") if issue.detail.startswith(_UNKNOWN) else issue
        for issue in issues
    ]


def _document(file: Path, reading: "Reading", issues: Sequence[Issue]) -> dict[str, Any]:
    problems = [
        {"pointer": issue.pointer, "line": reading.line_of(issue.pointer), "detail": issue.detail} for issue in issues
    ]
    return {"file": str(file), "problems": problems}
