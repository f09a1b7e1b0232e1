"""The command `aurea`. Verbs are found, not listed: a file of this folder that holds `verbs: typer.Typer` adds its own.

A name given to that Typer makes a group (`aurea tasks list`), without one its commands stand at the top. The files are
read to find the verbs and only the one that is asked for is imported, so help is quick and a worker stays small.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from orchestrator.domain.errors import AureaError, InvalidInput


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb lives, and its line in the help."""

    name: str
    module: str
    is_group: bool
    help: str

    def load(self) -> Any:
        """Import its file and return the command."""
        group = typer.main.get_group(importlib.import_module(self.module).verbs)
        return group if self.is_group else group.commands[self.name]


class VerbGroup(TyperGroup):
    """Lists verbs without importing them."""

    def list_commands(self, _: Any) -> list[str]:
        return sorted(find_verbs())

    def get_command(self, _: Any, cmd_name: str) -> Any:
        """A stand-in that can be listed; `resolve_command` brings the real one."""
        verb = find_verbs().get(cmd_name)
        return verb and TyperCommand(verb.name, help=verb.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = {name: self.get_command(ctx, name) for name in find_verbs()}  # for "did you mean"
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and find_verbs()[name or ""].load(), rest


@cache
def find_verbs() -> dict[str, Verb]:
    """Every verb of this folder, by name."""
    folder = Path(__file__).parent
    return {verb.name: verb for file in sorted(folder.glob("*.py")) for verb in _verbs_of(file)}


def _verbs_of(file: Path) -> Iterator[Verb]:
    module = f"{__package__}.{file.stem}"
    for node in ast.parse(file.read_bytes()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="verbs")], value=ast.Call() as made):
                if name := _text(made, "name"):
                    yield Verb(name, module, is_group=True, help=_text(made, "help"))
                    return
            case ast.FunctionDef(decorator_list=[ast.Call(func=ast.Attribute(ast.Name("verbs"), "command")) as made]):
                name = str(_text(made, "name") or node.name.replace("_", "-"))
                yield Verb(name, module, is_group=False, help=(ast.get_docstring(node) or "").partition("\n")[0])


def _text(call: ast.Call, keyword: str) -> str:
    """A literal argument: the one of that name, or for the name the first."""
    given = [each.value for each in call.keywords if each.arg == keyword] + (call.args if keyword == "name" else [])
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else ""


cli = typer.Typer(cls=VerbGroup, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aurea {version('aurea-orchestrator')}")
        raise typer.Exit


@cli.callback()
def root(
    _: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """AUREA: a priority queue of tasks that loses nothing and does nothing twice. Start with `aurea up`."""


def run() -> None:
    """Run one command and exit: an error of ours is told in a few lines, with what to do about it."""
    try:
        cli()
    except AureaError as error:
        typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
        typer.echo(error, err=True)
        for issue in error.issues if isinstance(error, InvalidInput) else ():
            typer.echo(f"  {issue.pointer}: {issue.detail}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
