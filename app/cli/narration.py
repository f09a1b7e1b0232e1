"""How a task's events are told: in colour with a progress bar, as plain lines, as JSON lines, or not at all."""

import sys
from types import TracebackType
from typing import Any, Protocol, Self

import orjson
import typer
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from app.cli.screen import answers, plain
from app.cli.wording import TaskEvent, as_line, in_colour, starts_anew, text_of


class Narration(Protocol):
    """Tells one event after the other; entered before the first, left behind the last."""

    def tell(self, event: TaskEvent) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def narration(*, as_json: bool) -> Narration:
    """Return the one that suits standard output."""
    if as_json:
        return JsonLines()
    return Lively() if answers().is_terminal else Lines()


class Silent:
    """For a command that waits and shows only the end."""

    def tell(self, event: TaskEvent) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class JsonLines(Silent):
    """One JSON object an event, as it comes."""

    def tell(self, event: TaskEvent) -> None:
        typer.echo(orjson.dumps({"id": event.id, "event": event.kind, "data": event.data}))


class Lines(Silent):
    """One line an event, its kind first. Text that grows by tokens is one line too, written when it is whole.

    What is dropped before, because another model begins, is not written.
    """

    def __init__(self) -> None:
        self._text = ""

    def tell(self, event: TaskEvent) -> None:
        if event.kind == "token":
            self._text = ("" if starts_anew(event.data) else self._text) + text_of(event.data)
            return
        if event.kind != "progress":
            self._end_text()
        self._write(event)

    def __exit__(self, *_: object) -> None:
        self._end_text()

    def _end_text(self) -> None:
        if self._text:
            self._write(TaskEvent("", "token", {"text": self._text}))
            self._text = ""

    def _write(self, event: TaskEvent) -> None:
        sys.stdout.write(f"{as_line(event)}\n")
        sys.stdout.flush()


class Lively:
    """For a person who watches: colours, and below the lines what still moves, growing text above a progress bar."""

    def __init__(self) -> None:
        self._console = answers()
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
        self._progress = Progress(*columns, console=self._console)  # laid out by it, shown by ours
        self._bar: TaskID | None = None
        self._text = ""
        self._live: Live | None = None
        """Only while something moves: it keeps the cursor hidden and redraws."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_text()
        self._drop_bar()

    def tell(self, event: TaskEvent) -> None:
        match event.kind:
            case "token":
                if starts_anew(event.data):
                    self._drop_text()
                self._grow(plain(text_of(event.data)))
            case "progress":
                self._move_bar(event.data)
            case kind:
                self._end_text()
                if kind == "end":
                    self._drop_bar()
                self._console.print(in_colour(event))

    def _redraw(self) -> None:
        """Show what moves as it is now; between the calls the display follows by itself, four times a second."""
        if not self._text and self._bar is None:
            if self._live is not None:
                self._live.stop()
                self._live = None
        elif self._live is None:
            self._live = Live(console=self._console, get_renderable=self._moving, transient=True)
            self._live.start(refresh=True)
        else:
            self._live.refresh()

    def _moving(self) -> Group:
        return Group(*([Text(self._text)] if self._text else []), *([] if self._bar is None else [self._progress]))

    def _grow(self, text: str) -> None:
        """Lines that are full stay where they are; only the last one still moves."""
        *full, last = Text(self._text + text).wrap(self._console, self._console.width) or [Text()]
        self._text = last.plain
        if full or self._live is None:
            self._redraw()
        for line in full:
            self._console.print(line)

    def _end_text(self) -> None:
        if self._text:
            whole, self._text = Text(self._text), ""
            self._redraw()
            self._console.print(whole)

    def _drop_text(self) -> None:
        """What a person has read stays; what comes next begins below it."""
        self._end_text()
        self._console.print(Text("  dropped; the text begins anew", style="dim"))

    def _move_bar(self, data: Any) -> None:
        if self._bar is None:
            self._bar = self._progress.add_task("", total=1.0)
        self._progress.update(self._bar, completed=data["fraction"], description=plain(text_of(data)))
        self._redraw()

    def _drop_bar(self) -> None:
        if self._bar is not None:
            gone, self._bar = self._bar, None
            self._redraw()  # first: without its one task the bar cannot be drawn
            self._progress.remove_task(gone)
