"""How a task's events are told: in colour with a progress bar, as plain lines, as JSON lines, or not at all."""

import sys
from types import TracebackType
from typing import Any, Protocol, Self

import orjson
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from app.cli.screen import answers, plain
from app.cli.wording import TaskEvent, as_line, in_colour, text_of


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
    """One line an event, its kind first; tokens run on, as the model writes them."""

    def __init__(self) -> None:
        self._midline = False

    def tell(self, event: TaskEvent) -> None:
        if event.kind == "token":
            sys.stdout.write(plain(text_of(event.data)))
            self._midline = True
        else:
            self._end_line()
            sys.stdout.write(f"{as_line(event)}\n")
        sys.stdout.flush()

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def _end_line(self) -> None:
        if self._midline:
            sys.stdout.write("\n")
            self._midline = False


class Lively:
    """For a person who watches: colours, and one bar that stays below the lines while there is progress."""

    def __init__(self) -> None:
        self._console = answers()
        self._bar: Progress | None = None
        self._midline = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop_bar()
        self._end_line()

    def tell(self, event: TaskEvent) -> None:
        match event.kind:
            case "token":
                self._drop_bar()
                self._console.print(Text(plain(text_of(event.data))), end="")
                self._midline = True
                return
            case "progress":
                self._end_line()
                self._move_bar(event.data)
                return
            case "end":
                self._drop_bar()
        self._end_line()
        self._console.print(in_colour(event))

    def _move_bar(self, data: Any) -> None:
        if self._bar is None:
            columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task("", total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=data["fraction"], description=plain(text_of(data)))
        self._bar.refresh()

    def _drop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _end_line(self) -> None:
        if self._midline:
            self._console.print()
            self._midline = False
