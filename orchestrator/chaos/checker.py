"""The judge: what was accepted, what stands in Postgres and what was executed, held against each other.

In the manner of Jepsen's total-queue, after a full drain. A submission without an answer is neither kept nor lost:
its row may be there. Pure functions over what was collected; nothing here asks a store.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from orchestrator.chaos.history import Execution, Record
from orchestrator.domain.states import FINAL, State


@dataclass(frozen=True, slots=True)
class Row:
    """A task as Postgres has it."""

    id: str
    key: str
    status: State
    fence: int
    priority: int
    finished_at: float | None
    error: str = ""
    """The error's type, where the task failed."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """An attempt as Postgres has it."""

    task_id: str
    fence: int
    attempt: int
    status: str
    becomes: State | None
    worker: str
    started_at: float
    ended_by: int | None
    """The fence that wrote its end, when that was another's."""


Belongs = TypeVar("Belongs", RunRow, Execution)


@dataclass(frozen=True, slots=True)
class Submissions:
    """What the clients know."""

    accepted: Mapping[str, str]
    """Key by task id: answered with it at least once."""
    tried: Collection[str]
    """Every key that was ever sent."""
    unknown: Collection[str]
    """Keys that never got an answer."""
    refused: Collection[str]
    """Keys that were refused for good, and never left without an answer."""
    recovered: Collection[str]
    """Keys that were answered after an answer had been lost."""
    forked: Mapping[str, Collection[str]]
    """Keys that were answered with more than one task."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the checker found: ids or keys, so that each can be looked up."""

    submissions: Submissions
    states: Mapping[str, int]
    lost: Sequence[str]
    """Accepted, and not in a final state, or not there."""
    unexpected: Sequence[str]
    """Rows that nobody submitted, or a second one for a key; and what was executed and never kept."""
    recorded_twice: Sequence[str]
    """More than one run that succeeded, or that ended the task."""
    stale: Sequence[str]
    """Ended by a fence that is older than another writer's before it."""
    rerun: Sequence[str]
    """Executed under a newer fence after the end was on record: its worker died before it told Redis, for example."""
    doubled: Sequence[str]
    """Executed more often than once and once more for each recorded attempt that failed or was lost."""
    executions: int
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """How many tasks failed for good, by the type of error."""
    inversions: int | None = None
    """First starts out of order, where one worker ran everything."""

    @property
    def is_sound(self) -> bool:
        """Whether every promise held. How often something was executed is outside of them: once at the least."""
        broken = (self.lost, self.unexpected, self.recorded_twice, self.stale, self.submissions.forked)
        return not any(broken)


def check(
    records: Iterable[Record],
    rows: Sequence[Row],
    runs: Sequence[RunRow],
    executions: Sequence[Execution],
    *,
    one_worker: bool = False,
) -> Findings:
    """Judge a campaign whose system has drained."""
    submissions = read_submissions(records)
    runs_of = _grouped(runs)
    executed = _grouped(executions)
    by_id = {row.id: row for row in rows}
    open_keys = set(submissions.tried) - set(submissions.accepted.values()) - set(submissions.refused)
    return Findings(
        submissions=submissions,
        states=Counter(row.status.value for row in rows),
        lost=[task for task in submissions.accepted if task not in by_id or by_id[task].status not in FINAL],
        unexpected=[
            *(row.id for row in rows if row.id not in submissions.accepted and row.key not in open_keys),
            *(task for task in executed if task not in by_id and task not in submissions.accepted),
        ],
        recorded_twice=[task for task, known in runs_of.items() if _endings(known) > 1],
        stale=[row.id for row in rows if _is_stale(row, runs_of.get(row.id, []), executed.get(row.id, []))],
        rerun=[row.id for row in rows if _is_rerun(row, runs_of.get(row.id, []), executed.get(row.id, []))],
        doubled=[task for task, known in executed.items() if _excess(known, runs_of.get(task, [])) > 0],
        executions=len(executions),
        dead_letters=Counter(row.error for row in rows if row.status is State.FAILED),
        inversions=inversions(rows, executed) if one_worker else None,
    )


def read_submissions(records: Iterable[Record]) -> Submissions:
    """Return what the clients know of their keys."""
    answers: dict[str, set[str]] = defaultdict(set)
    tried: set[str] = set()
    open_keys: set[str] = set()
    doubtful: set[str] = set()
    refused: set[str] = set()
    for record in records:
        if record.op != "submit":
            continue
        tried.update(record.keys)
        if record.phase == "unknown":
            open_keys.update(key for key in record.keys if key not in answers)
            doubtful.update(record.keys)
        elif record.phase == "ok":
            for key, task in zip(record.keys, record.ids, strict=True):
                answers[key].add(task)
        if record.phase in ("ok", "fail"):
            open_keys.difference_update(record.keys)
        if record.phase == "fail":
            refused.update(record.keys)
    return Submissions(
        accepted={task: key for key, tasks in answers.items() for task in tasks},
        tried=tried,
        unknown=open_keys,
        refused=refused - doubtful - answers.keys(),
        recovered=doubtful & answers.keys(),
        forked={key: tasks for key, tasks in answers.items() if len(tasks) > 1},
    )


def inversions(rows: Sequence[Row], executed: Mapping[str, Sequence[Execution]]) -> int:
    """Count first starts that came before one of a higher priority or an earlier acceptance, all submitted before.

    Ids sort by the moment of acceptance. Tasks that were executed again are left out.
    """
    once = {task: known[0].at for task, known in executed.items() if len(known) == 1}
    order = sorted((row for row in rows if row.id in once), key=lambda row: (row.priority, row.id))
    moments = [once[row.id] for row in order]
    return sum(later < earlier for earlier, later in pairwise(moments))


def _endings(runs: Sequence[RunRow]) -> int:
    succeeded = sum(run.status == "succeeded" for run in runs)
    return max(succeeded, sum(run.becomes in FINAL for run in runs if run.becomes is not None))


def _ending(runs: Sequence[RunRow]) -> RunRow | None:
    return next((run for run in runs if run.becomes is not None and run.becomes in FINAL), None)


def _writer(run: RunRow) -> int:
    return run.fence if run.ended_by is None else run.ended_by


def _is_stale(row: Row, runs: Sequence[RunRow], executions: Sequence[Execution]) -> bool:
    """Once a task has ended nothing more is written, so every other fence on record wrote before its end."""
    ending = _ending(runs)
    if any(run.fence > row.fence for run in runs):
        return True
    if ending is None or row.finished_at is None:
        return False
    others = max((_writer(run) for run in runs), default=0)
    began_before = (each.fence for each in executions if each.at < row.finished_at)
    return _writer(ending) < max(others, row.fence, *began_before)


def _is_rerun(row: Row, runs: Sequence[RunRow], executions: Sequence[Execution]) -> bool:
    ending = _ending(runs)
    if ending is None or row.finished_at is None:
        return False
    return any(each.fence > _writer(ending) and each.at >= row.finished_at for each in executions)


def _excess(executions: Sequence[Execution], runs: Sequence[RunRow]) -> int:
    return len(executions) - 1 - sum(run.status in ("failed", "crashed", "released", "cancelled") for run in runs)


def _grouped(values: Iterable[Belongs]) -> dict[str, list[Belongs]]:
    grouped: dict[str, list[Belongs]] = defaultdict(list)
    for value in values:
        grouped[value.task_id].append(value)
    return grouped
