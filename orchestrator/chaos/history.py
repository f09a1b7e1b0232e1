"""What happened, as it happened: JSON lines of submissions and faults, and the sink of the executions.

A submission is `invoke`d, then `ok`, `fail` (it was refused for good) or `unknown` (no answer, or one that does not
say whether it was kept); an unknown one is invoked again with the same keys. A fault is `inject`ed and `heal`ed.
Times are seconds of the epoch, of one machine's clock.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Self

import orjson

Op = Literal["submit", "fault"]
Phase = Literal["invoke", "ok", "fail", "unknown", "inject", "heal", "skip"]


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the history."""

    at: float
    process: str
    op: Op
    phase: Phase
    keys: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """Of an `ok`: the tasks that the keys stand for, in their order."""
    name: str = ""
    """Of a fault, or why a submission went wrong."""
    target: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Execution:
    """One line of the sink: a handler that began."""

    task_id: str
    attempt: int
    fence: int
    at: float


class History:
    """Kept in memory for the checker, and on disk for people: each line is with the system before `note` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("ab", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def note(self, record: Record) -> None:
        self.records.append(record)
        if self._file is not None:
            self._file.write(orjson.dumps({name: value for name, value in asdict(record).items() if value}) + b"\n")


def read_history(path: Path) -> list[Record]:
    """Return what `History` wrote."""
    records = []
    for line in path.read_bytes().splitlines():
        known = orjson.loads(line)
        pairs = {name: tuple(known[name]) for name in ("keys", "ids") if name in known}
        records.append(Record(**{**known, **pairs}))
    return records


def read_sink(lines: Iterable[str]) -> Iterator[Execution]:
    """Return the executions; a line that a killed process left half written is left out."""
    for line in lines:
        words = line.split()
        if len(words) == 4:
            yield Execution(words[0], int(words[1]), int(words[2]), float(words[3]))
