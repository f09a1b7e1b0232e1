"""The queue as operations see it: order, delay, leases and the live feed.

Two implementations keep this promise: `redis.py`, and `memory.py`, the reference model that tests play against
it. Every method is one atomic act; one that is given very many tasks is an act per page of them. Nothing here is the
truth: all of it can be rebuilt from Postgres.

Any method raises Unavailable when the queue cannot be reached or does not answer. The act may have happened all the
same, and every one may be repeated: a second `enqueue` or `settle` finds nothing left to do, and what a lost `claim`
or `pop` took is brought back by the sweep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.domain.ids import Fence, TaskId, Tenant, WorkerId
from orchestrator.domain.outbox import NO_KEYS, Acceptance, Durability, Holder, KeyHold, Waiting, Write
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry, Settlement
from orchestrator.queue.quotas import Quotas

FENCE_COUNTER_BITS = 36
PAGE = 250
"""Tasks that one act takes at most, but for settling, which takes a worker's batch: others wait 4 ms for it, and a
store that has one thread is held no longer.
"""


class EpochMissing(Exception):
    """The queue has no valid epoch (emptied, restarted or failed over): nothing is claimed until one is opened."""


class QueuePaused(Exception):
    """The queue asked for is paused: nothing is claimed from it."""


@dataclass(frozen=True, slots=True)
class Popped:
    """An id that BZPOPMIN handed out. Nobody holds it yet: claim it, or the sweep puts it back."""

    queue: str
    id: TaskId


@dataclass(frozen=True, slots=True)
class Live:
    """What the queue knows of a task that is not final, and newer than its row if the fence says so."""

    status: State
    attempt: int
    fence: Fence
    worker: WorkerId | None
    started_at_us: int | None
    progress: bytes | None


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue at a glance."""

    name: str
    depth: int
    """Tasks nobody holds, due now."""
    oldest_us: int
    """Since the longest waiting of the first-in-order task became ready; 0 when empty."""
    running: int
    paused: bool
    held: int
    """Due, and kept back because their tenant runs its number; not in the depth."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one task stands, for the answer to "why does it not run?"."""

    live: Live | None
    queue: str | None
    rank: int | None
    """Tasks before it in its queue; None when it is not waiting in one."""
    due_in_us: int | None
    """Until a delayed task is due; None when it is not delayed."""
    paused: bool
    held_by: str | None = None
    """The owner that runs its number, if that keeps the task from being claimed."""


@dataclass(frozen=True, slots=True)
class Held:
    """All that the queue holds of a task."""

    entry: Entry
    live: Live
    asked: bytes | None
    """The insert record of a task that Postgres does not have yet."""
    record: bytes | None
    """The settle record of a final task whose end Postgres does not have yet."""


@dataclass(frozen=True, slots=True)
class Value:
    """A payload, or the result of a step, as the queue keeps it."""

    task_id: TaskId
    tenant: Tenant
    step: str | None
    """The name of the step; None for the payload."""
    value: bytes


class Outbox(Protocol):
    """The part of the queue that stands in for Postgres: writes are kept in order until they can be applied."""

    async def accept(self, acceptances: Sequence[Acceptance]) -> tuple[list[bool | Holder], Durability]:
        """Put tasks in order as `enqueue` does, and their records in the outbox, and wait for the disk.

        True for one that is kept, also by an earlier call; a Holder where another task, which has not given it up,
        holds the key: nothing was put in but its withdrawal.
        """

    async def record(self, worker: WorkerId, writes: Sequence[Write]) -> list[bool]:
        """Put records of running attempts in the outbox; False for one whose lease is not the worker's any more."""

    async def append(self, lines: Sequence[tuple[TaskId, bytes]]) -> None:
        """Put lines of the audit in the outbox, each an id and its record."""

    async def outbox(self, limit: int) -> list[Waiting]:
        """Return the records that wait for Postgres, the oldest first."""

    async def applied(self, records: Sequence[Waiting]) -> None:
        """Remove records that Postgres has, and what was kept of their tasks until then."""

    async def outbox_depth(self) -> int:
        """Return how many records wait for Postgres."""

    def appended(self) -> str:
        """The place of the last record that was put in through this object; empty for none."""

    async def held(self, task_id: TaskId) -> Held | None:
        """All that is known here of a task; None when that is nothing."""

    async def steps(self, task_id: TaskId) -> dict[str, bytes]:
        """The JSON results of finished steps that were put in the outbox, while the task lives."""

    async def values(self, ids: Sequence[TaskId]) -> list[Value]:
        """The payloads of these tasks, and the results of their steps, as far as they are kept here."""

    async def exchange(self, changes: Sequence[tuple[Value, bytes]]) -> list[bool]:
        """Put another form of the same value in the place of each; False for one that was changed since."""


class Queue(Outbox, Quotas, Protocol):
    async def enqueue(self, entries: Sequence[Entry], keys: Mapping[TaskId, KeyHold] = NO_KEYS) -> list[bool | Holder]:
        """Put tasks in order, or aside until due. False for one that the queue holds already: it stays as it is.

        One that was dropped a moment ago, or is final, is not held: it may be replayed at once. The keys are
        remembered. A Holder for one whose key is held by a task that Postgres does not have yet: it is not put in.
        """

    async def reserve(self, keys: Mapping[TaskId, KeyHold]) -> dict[TaskId, Holder]:
        """Remember keys before their tasks are written to Postgres, which decides about them.

        Returns those that a task holds which Postgres does not have yet. What is reserved is held against other
        tasks that would be accepted meanwhile, whatever becomes of the caller.
        """

    async def pop(self, queues: Sequence[str], timeout_seconds: float) -> Popped | None:
        """Wait for the first task of the first of these queues that has one.

        Never retried: a lost answer is found by `put_back`.
        """

    async def pop_and_claim(
        self, worker: WorkerId, queues: Sequence[str], limit: int, hold_ms: int, timeout_seconds: float
    ) -> tuple[Popped | None, list[Claim]]:
        """Wait as `pop` does, and claim what it took in the same round trip, and the next ones up to `limit` in all.

        The claims are empty where the queue cannot tell what this pop took, or refuses: `claim` it then, which says
        why. Without a pop they hold what somebody else had popped and not claimed, if that is one task. The leases run
        from some moment of the wait on, so who hears late makes sure of them; those of a lost answer run out.
        """

    async def claim(
        self, worker: WorkerId, queue: str, limit: int, hold_ms: int, popped: TaskId | None = None
    ) -> list[Claim]:
        """Lease the popped task, if still nobody holds it, and the next ones up to `limit` in all.

        Raises EpochMissing or QueuePaused; a popped task is back in its queue then.
        """

    async def extend(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]], hold_ms: int) -> list[TaskId]:
        """Push the deadline of every lease back; return those that are no longer this worker's.

        A lease taken under an earlier epoch that the queue has forgotten altogether (it was emptied) is asserted again
        and not lost; one whose task was dropped is lost.
        """

    async def settle(
        self,
        worker: WorkerId,
        endings: Sequence[Settlement],
        counts: Sequence[tuple[str, str, float]] = (),
        records: Sequence[bytes] = (),
    ) -> list[bool]:
        """End leases: forget final tasks, set aside retries, put released ones back in order.

        Either Postgres was told first, or each ending comes with its record, which goes to the outbox in the same
        act; a final task is remembered until Postgres has it then. False for a lease that is no longer this worker's:
        nothing changed. `counts` (hash, field, by) are added in the same act.
        """

    async def take_over(self, worker: WorkerId, limit: int, hold_ms: int) -> tuple[list[Claim], list[TaskId]]:
        """Lease anew, under a higher fence, tasks whose lease ran out. Raises EpochMissing.

        The claims' attempt is the lost one's, and `lost` its fence, also when a take-over before this one was lost in
        its turn. Beside them the tasks of which the queue had no more than a lease that was asserted: that is removed.
        """

    async def promote(self, limit: int) -> list[TaskId]:
        """Move tasks that are due into their queues; their place is the moment they were due."""

    async def put_back(self, limit: int) -> list[TaskId]:
        """Return ids that were popped but never leased to their places, looking at the first `limit` of each queue."""

    async def drop(self, ids: Sequence[TaskId]) -> None:
        """Forget these tasks, leases included, and tell the workers that run them."""

    async def forget(self, worker: WorkerId, held: Sequence[tuple[TaskId, Fence]]) -> list[TaskId]:
        """Forget tasks where the lease is still this worker's and tell nobody; return which.

        They can be put in the queue again at once.
        """

    async def mint(self) -> Fence:
        """A fresh fence. Raises EpochMissing."""

    async def open_epoch(self, epoch: int) -> bool:
        """Make this the epoch if it is higher than the one before; False if it is not. The counter starts anew."""

    async def epoch(self) -> int | None:
        """The open epoch; None when the queue forgot it, or it was opened on another server."""

    async def missing(self, ids: Sequence[TaskId]) -> list[TaskId]:
        """Those the queue does not hold, neither waiting nor leased."""

    async def leased(self) -> list[TaskId]:
        """The tasks that somebody holds a lease on, the first to run out first."""

    async def pending(self, queue: str, first: int, limit: int) -> list[TaskId]:
        """The tasks nobody holds that are due in a queue, in order, from a place on; places count from 0."""

    async def live(self, ids: Sequence[TaskId]) -> dict[TaskId, Live]:
        """The live state of those it holds."""

    async def standing(self, task_id: TaskId) -> Standing: ...

    async def pause(self, queue: str) -> None:
        """Let nothing more be claimed from a queue; it need not exist yet."""

    async def resume(self, queue: str) -> None:
        """Let it be claimed from again, and tell the workers."""

    async def queues(self) -> list[QueueFigures]:
        """Return every queue that ever held a task or is paused, by name."""

    async def names(self) -> list[str]:
        """Return the queues that ever held a task, in order."""

    async def depth(self, queue: str) -> int:
        """Return how many tasks are due in a queue and held by nobody."""

    async def ping(self) -> None:
        """Return if the queue answers."""
