"""Tables for people, tab-separated lines for pipes, JSON for programs: the same rows three ways.

A pipe gets every value whole and raw, one line a row and no heading, so that `cut` and `awk` work on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from app.cli.screen import answers, note, plain, print_json
from orchestrator.clock import SystemClock

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, the field it reads (dots go deeper), and how a person sees the value."""

    title: str
    field: str
    show: Callable[[Any], str | Text] = plain
    yields: bool = False
    """Shortened when the screen is too narrow for all."""

    def read(self, row: Mapping[str, Any]) -> Any:
        value: Any = row
        for step in self.field.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        return value


def print_page(
    page: Mapping[str, Any], columns: Sequence[Column], *, as_json: bool, empty: str, more: str = ""
) -> None:
    """Print a list of the API. `empty` is said when there is none, `more` how to get the next page."""
    if as_json:
        print_json(page)
        return
    print_table(page["items"], columns)
    if not page["items"]:
        note(empty)
    if page.get("next_cursor"):
        note(f"there are more: {more} --cursor {page['next_cursor']}")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    """Print rows under their headings, or as bare lines in a pipe."""
    console = answers()
    if not console.is_terminal:
        for row in rows:
            typer.echo("\t".join(_raw(column.read(row)) for column in columns))
    elif rows:
        console.print(_table(rows, columns))


def print_record(document: Mapping[str, Any], columns: Sequence[Column], *, as_json: bool) -> None:
    """Print one thing, a field a line; fields that are null are left out."""
    if as_json:
        print_json(document)
        return
    console = answers()
    if not console.is_terminal:
        for column in columns:
            typer.echo(f"{column.title}\t{_raw(column.read(document))}")
        return
    table = Table.grid(padding=(0, 2))
    for column in columns:
        if column.read(document) not in (None, {}, []):
            table.add_row(Text(column.title, style="dim"), _shown(column, document))
    console.print(table)


def ago(moment: str) -> str:
    """Return how long ago an RFC 3339 time was, or how far ahead, as `12 s ago` or `in 3 h`."""
    seconds = (SystemClock().now() - datetime.fromisoformat(moment).astimezone(UTC)).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def span(seconds: float) -> str:
    """Return a span in its largest fitting unit."""
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def tag_list(pairs: Mapping[str, str]) -> str:
    return " ".join(f"{plain(key)}={plain(value)}" for key, value in pairs.items())


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        cells = [_shown(column, row) for row in rows]
        width = max(len(cell) for cell in (column.title, *cells))
        table.add_column(column.title, no_wrap=True, min_width=None if column.yields else width)
    for row in rows:
        table.add_row(*(_shown(column, row) for column in columns))
    return table


def _shown(column: Column, row: Mapping[str, Any]) -> str | Text:
    value = column.read(row)
    return "" if value is None else column.show(value)


def _raw(value: Any) -> str:
    return plain(value).replace("\t", " ").replace("\n", " ")
