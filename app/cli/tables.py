"""Tables for people, tab-separated lines for pipes, JSON for programs: the same rows three ways.

A pipe gets every value whole and raw, one line a row and no heading, so that `cut` and `awk` work on it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from app.cli.screen import answers, note, plain, print_json
from orchestrator.clock import SystemClock

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_GAP = "  "
_NARROWEST = 8
"""What a shortened column keeps at the least: below that its words say nothing, and the terminal may wrap."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, the field it reads (dots go deeper), and how a person and a pipe see the value."""

    title: str
    field: str
    show: Callable[[Any], str | Text] = plain
    yields: bool = False
    """Shortened when the screen is too narrow for all; the others keep their width."""
    spell: Callable[[Any], str] = plain
    """What a pipe gets."""

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
    """Print rows under their headings, one line each and without empty columns, or as bare lines in a pipe."""
    console = answers()
    if not console.is_terminal:
        for row in rows:
            typer.echo("\t".join(_raw(column, row) for column in columns))
    elif rows:
        for line in _lines(rows, columns, console.width):
            console.print(line)


def print_record(document: Mapping[str, Any], columns: Sequence[Column], *, as_json: bool) -> None:
    """Print one thing, a field a line; fields that are null or show nothing are left out."""
    if as_json:
        print_json(document)
        return
    console = answers()
    if not console.is_terminal:
        for column in columns:
            typer.echo(f"{column.title}\t{_raw(column, document)}")
        return
    table = Table.grid(padding=(0, 2))
    for column in columns:
        if column.read(document) not in (None, {}, []) and (shown := _shown(column, document)):
            table.add_row(Text(column.title, style="dim"), shown)
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


def usd(amount: float) -> str:
    """Return dollars with cents, or with as much more as there is of an amount below a tenth."""
    return f"${amount:,.2f}" if amount >= 0.1 or not amount else f"${amount:.6f}".rstrip("0")


def to_the_second(moment: str) -> str:
    """Return an RFC 3339 time without its fraction."""
    return f"{moment[:19]}Z"


def tag_list(pairs: Mapping[str, str]) -> str:
    return " ".join(f"{plain(key)}={plain(value)}" for key, value in pairs.items())


def error_text(error: Mapping[str, Any]) -> str:
    """Return what failed and how it said so, as `ValueError: no such cat`."""
    return f"{plain(error.get('type'))}: {plain(error.get('message'))}"


def _lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], screen: int) -> Iterator[Text]:
    """Yield the heading and the rows. Every column is as wide as its widest cell, unless it yields to the screen."""
    shown = [(column, [_on_one_line(_shown(column, row)) for row in rows]) for column in columns]
    shown = [(column, cells) for column, cells in shown if any(cells)]
    natural = [max(cell_len(column.title), *(cell.cell_len for cell in cells)) for column, cells in shown]
    widths = _fitted(natural, [column.yields for column, _ in shown], screen - len(_GAP) * (len(shown) - 1))
    heading = [Text(column.title, style="bold") for column, _ in shown]
    for line in [heading, *zip(*(cells for _, cells in shown), strict=True)]:
        for cell, width in zip(line, widths, strict=True):
            cell.truncate(width, overflow="ellipsis", pad=True)
        text = Text(_GAP).join(line)
        text.rstrip()
        yield text


def _fitted(natural: Sequence[int], yields: Sequence[bool], room: int) -> list[int]:
    """Return the widths: of the columns that yield the widest loses first, down to the narrowest."""
    widths = list(natural)
    while sum(widths) > room:
        place = max(
            (place for place, it_yields in enumerate(yields) if it_yields), key=widths.__getitem__, default=None
        )
        if place is None or widths[place] <= _NARROWEST:
            break
        widths[place] -= 1
    return widths


def _on_one_line(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell.replace("\n", " ").replace("\t", " "))


def _shown(column: Column, row: Mapping[str, Any]) -> str | Text:
    value = column.read(row)
    return "" if value is None else column.show(value)


def _raw(column: Column, row: Mapping[str, Any]) -> str:
    value = column.read(row)
    return "" if value is None else column.spell(value).replace("\t", " ").replace("\n", " ")
