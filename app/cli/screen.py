"""Where words go: answers to standard output, everything else to standard error.

Colours only on a terminal, and never with NO_COLOR. Text that came from a task is stripped of control characters,
so nothing a handler logs can move the cursor or rewrite what stands above it.
"""

import re
import sys
from typing import Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.text import Text

STATUS_STYLES = {
    "scheduled": "cyan",
    "queued": "cyan",
    "running": "blue",
    "retrying": "yellow",
    "waiting": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "dim",
    "expired": "dim",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def answers() -> Console:
    """Standard output. Built when needed: whether it is a terminal is looked up then."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def asides() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def plain(value: Any) -> str:
    """Return a value as text that cannot control a terminal; JSON for what is not a string, empty for null."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def status_text(status: str) -> Text:
    return Text(plain(status), style=STATUS_STYLES.get(status, ""))


def indented(value: Any) -> str:
    """Return JSON laid out for reading."""
    return plain(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_json(document: Any) -> None:
    """Write one JSON document as the API sent it: indented on a terminal, one line in a pipe."""
    typer.echo(indented(document) if sys.stdout.isatty() else orjson.dumps(document))


def note(text: str) -> None:
    """Tell a person something that is not part of the answer."""
    asides().print(Text(text, style="dim"))


def complain(what: str, *fixes: str) -> NoReturn:
    """Say what is wrong and, below it, what to do; exit with 1."""
    console = asides()
    console.print(Text.assemble(("error: ", "bold red"), what))
    for fix in fixes:
        console.print(Text(f"  {fix}"))
    raise typer.Exit(1)
