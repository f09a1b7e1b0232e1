"""A simulation that finds nothing may be blind: each mutation takes one safeguard away, and a run has to miss it.

`python -m tests.simulation.mutations` prints the table of them: by which seed, and after how many steps.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from orchestrator.domain.task import Entry, NewTask, Settlement
from orchestrator.operations import rebuild, sweep
from orchestrator.queue.memory import MemoryQueue
from orchestrator.runtime import Runtime
from orchestrator.worker.recorder import Recorder
from tests.simulation.campaign import Outcome, simulate
from tests.simulation.memory_attempts import Fencing
from tests.simulation.memory_rows import FINAL, RANK, Row
from tests.simulation.system import System

SEEDS = range(1, 41)


@dataclass(frozen=True)
class Mutation:
    """A safeguard, how it is taken away, and the promises of which one is broken then."""

    name: str
    switch_off: Callable[[], Any]
    missed_as: tuple[str, ...]


_LOST = ("nothing is lost", "everything ends", "only what is kept runs", "one holder at a time")


async def _none(*_: Any) -> int:
    return 0


def _final_only(row: Row | None, fence: int) -> bool:
    return row is not None and RANK[row["status"]] < FINAL


def _fence_only(row: Row | None, fence: int) -> bool:
    return row is not None and row["fence"] <= fence


async def _yes(*_: Any) -> bool:
    return True


def _yes_at_once(*_: Any) -> bool:
    return True


def _removed_before_applied() -> Any:
    def rewire(runtime: Runtime) -> None:
        outbox = runtime.queue.outbox

        async def taken(limit: int) -> Any:
            waiting = await outbox(limit)
            if limit > 1:  # else a watcher looks at the first
                await runtime.queue.applied(waiting)
            return waiting

        runtime.queue.outbox = taken  # type: ignore[method-assign]

    return _rewired(rewire)


@contextmanager
def _rewired(rewire: Callable[[Runtime], None]) -> Iterator[None]:
    """Change what every process has for a ledger."""
    runtime_of = System._runtime

    def rewired(self: System, process: Any, **named: Any) -> Runtime:
        runtime = runtime_of(self, process, **named)
        rewire(runtime)
        return runtime

    with patch.object(System, "_runtime", rewired):
        yield


def _queue_before_insert() -> Any:
    def rewire(runtime: Runtime) -> None:
        insert = runtime.ledger.insert

        async def after_the_queue(tasks: Sequence[NewTask]) -> Any:
            await runtime.queue.enqueue([_entry(task) for task in tasks])
            return await insert(tasks)

        runtime.ledger.insert = after_the_queue  # type: ignore[method-assign]

    return _rewired(rewire)


def _entry(task: NewTask) -> Entry:
    shared = ("id", "tenant", "type", "queue", "priority", "payload", "max_retries", "timeout_seconds", "traceparent")
    return Entry(
        **{name: getattr(task, name) for name in shared},
        ready_at_us=None if task.run_at is None else int(task.run_at.timestamp() * 1e6),
        expires_at_us=None if task.expires_at is None else int(task.expires_at.timestamp() * 1e6),
    )


def _queue_before_settle() -> Any:
    def rewire(runtime: Runtime) -> None:
        settle = runtime.ledger.settle

        async def after_the_queue(endings: Sequence[Settlement], **named: Any) -> list[bool]:
            await runtime.queue.settle(endings[0].claim.worker, endings)
            return await settle(endings, **named)

        runtime.ledger.settle = after_the_queue  # type: ignore[method-assign]

    return _rewired(rewire)


MUTATIONS = (
    Mutation(
        "the fence check of the ledger",
        lambda: patch.object(Fencing, "admits", staticmethod(_final_only)),
        ("no stale write", "a fence never falls"),
    ),
    Mutation(
        "the ledger's look whether a task is final",
        lambda: patch.object(Fencing, "admits", staticmethod(_fence_only)),
        ("what is final stays",),
    ),
    Mutation("the sweep of popped ids", lambda: patch.object(sweep, "put_back", _none), ("everything ends",)),
    Mutation("the sweep of expired leases", lambda: patch.object(sweep, "take_back", _none), ("everything ends",)),
    Mutation(
        "the token of a lease",
        lambda: patch.object(MemoryQueue, "_holds", _yes_at_once),
        ("a lost lease stays lost", "one holder at a time"),
    ),
    Mutation("the reconciler", lambda: patch.object(rebuild, "mend", _none), ("everything ends",)),
    Mutation(
        "the question before a restored task runs",
        lambda: patch.object(Recorder, "confirm", _yes),
        ("what was put back is asked about",),
    ),
    Mutation("Postgres before Redis, submitting", _queue_before_insert, ("only what is kept runs",)),
    Mutation("Postgres before Redis, settling", _queue_before_settle, ("one holder at a time",)),
    Mutation("a record stays in the outbox until it is applied", _removed_before_applied, _LOST),
)


def search(mutation: Mutation, seeds: Iterable[int]) -> Outcome:
    """Return the first run that misses the safeguard, else the last of all."""
    with mutation.switch_off():
        for seed in seeds:
            outcome = simulate(seed)
            if outcome.violations:
                break
    return outcome


def main() -> int:
    sys.stdout.write("| Taken away | Missed as | Seed | Steps |\n|---|---|---|---|\n")
    blind = 0
    for mutation in MUTATIONS:
        outcome = search(mutation, SEEDS)
        broken = outcome.violations[0].promise if outcome.violations else "nothing"
        blind += broken not in mutation.missed_as
        sys.stdout.write(f"| {mutation.name} | {broken} | {outcome.seed} | {outcome.steps:,} |\n")
        sys.stdout.flush()
    return 1 if blind else 0


if __name__ == "__main__":
    sys.exit(main())
