"""What an attempt under test told, kept and submitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.clock import Clock
from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import TaskId
from orchestrator.domain.task import Claim
from orchestrator.worker.bench import Submission
from orchestrator.worker.encoding import encode_json


@dataclass(frozen=True, slots=True)
class Logged:
    text: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    fraction: float
    text: str


class Record:
    """A worker's journal, steps and way to submit, in memory; everything in the order in which it happened."""

    def __init__(self, clock: Clock, steps: Mapping[str, Any]) -> None:
        self.submitted: list[Submission] = []
        """The tasks it handed in: `type`, `payload`, `key` and the options."""
        self._clock = clock
        self._told: list[tuple[EventKind, dict[str, Any]]] = []
        self._kept = {name: encode_json(value, f"the step {name!r}") for name, value in steps.items()}

    @property
    def logs(self) -> list[Logged]:
        return [Logged(**content) for kind, content in self._told if kind is EventKind.LOG]

    @property
    def progress(self) -> list[Progress]:
        return [Progress(**content) for kind, content in self._told if kind is EventKind.PROGRESS]

    @property
    def tokens(self) -> list[str]:
        return [content["text"] for kind, content in self._told if kind is EventKind.TOKEN]

    @property
    def steps(self) -> dict[str, Any]:
        """The finished steps, those it was given included."""
        return {name: orjson.loads(result) for name, result in self._kept.items()}

    def append(self, told: Told) -> None:
        self._told.append((told.kind, orjson.loads(told.data)))

    async def room(self) -> None:
        return

    async def load(self, task_id: TaskId) -> Mapping[str, bytes]:
        return self._kept

    async def save(self, claim: Claim, name: str, result: bytes) -> bool:
        self._kept[name] = result
        return True

    async def submit(self, claim: Claim, submission: Submission) -> TaskId:
        self.submitted.append(submission)
        return self._clock.task_id()
