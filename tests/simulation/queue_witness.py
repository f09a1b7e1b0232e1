"""What is looked at in the answers of the queue: who holds what, and that nobody holds it against another."""

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.domain.ids import Fence, TaskId
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.states import FINAL
from orchestrator.domain.task import Claim
from orchestrator.queue.port import FENCE_COUNTER_BITS


class QueueWitness:
    """Remembers the newest lease of every task that the queue has handed out, until it is over."""

    def __init__(self, blame: Callable[[str, str], None], has_ended: Callable[[TaskId, Fence], bool]) -> None:
        """`has_ended`: whether Postgres has an ending of an attempt, or something newer."""
        self._blame = blame
        self._has_ended = has_ended
        self._handed_out: dict[TaskId, Fence] = {}
        self._kept: set[tuple[TaskId, Fence]] = set()
        """Attempts whose ending was put in the outbox."""
        self.recorded: set[tuple[TaskId, Fence]] = set()
        """Attempts whose beginning was put in the outbox."""
        self._last_fences: dict[int, Fence] = {}

    def forget_queue(self) -> None:
        """The queue was emptied: what it handed out before counts no more."""
        self._handed_out.clear()

    def queue_answered(self, name: str, arguments: Sequence[Any], answer: Any) -> None:
        look = getattr(self, f"_{name}", None)
        if look is not None:
            look(arguments, answer)

    def _claim(self, arguments: Sequence[Any], answer: list[Claim]) -> None:
        for claim in answer:
            task_id = claim.entry.id
            before = self._handed_out.get(task_id)
            if before is not None and not self._is_over(task_id, before):
                self._blame(
                    "one holder at a time",
                    f"{task_id} is claimed under {claim.fence} while {before} has neither ended nor run out",
                )
            self._hand_out(claim)

    def _pop_and_claim(self, arguments: Sequence[Any], answer: tuple[object, list[Claim]]) -> None:
        self._claim(arguments, answer[1])

    def _take_over(self, arguments: Sequence[Any], answer: tuple[list[Claim], list[TaskId]]) -> None:
        claims, astray = answer
        for claim in claims:
            self._hand_out(claim)
        self._drop([astray], None)

    def _hand_out(self, claim: Claim) -> None:
        self._mint((), claim.fence)
        self._handed_out[claim.entry.id] = claim.fence

    def _mint(self, arguments: Sequence[Any], answer: Fence) -> None:
        """Inside an epoch fences rise. An epoch given out long ago may be opened late, on a queue that was emptied."""
        epoch = answer >> FENCE_COUNTER_BITS
        if answer <= self._last_fences.get(epoch, 0):
            self._blame("fences only rise", f"{answer} after {self._last_fences[epoch]}")
        self._last_fences[epoch] = answer

    def _record(self, arguments: Sequence[Any], answer: list[bool]) -> None:
        for write, kept in zip(arguments[1], answer, strict=True):
            if kept and write.kind is RecordKind.START:
                self.recorded.add((write.task_id, write.fence))

    def _extend(self, arguments: Sequence[Any], answer: list[TaskId]) -> None:
        for task_id, fence in arguments[1]:
            if task_id not in answer:
                self._check_lease("extended", task_id, fence)

    def _settle(self, arguments: Sequence[Any], answer: list[bool]) -> None:
        for ending, ended in zip(arguments[1], answer, strict=True):
            task_id, fence = ending.claim.entry.id, ending.claim.fence
            if not ended or (task_id, fence) in self._kept:  # told again
                continue
            self._check_lease("ended", task_id, fence)
            if len(arguments) > 3 and arguments[3]:
                self._kept.add((task_id, fence))
            if ending.state in FINAL:
                self._handed_out.pop(task_id, None)

    def _drop(self, arguments: Sequence[Any], answer: None) -> None:
        for task_id in arguments[0]:
            self._handed_out.pop(task_id, None)

    def _forget(self, arguments: Sequence[Any], answer: list[TaskId]) -> None:
        held = dict(arguments[1])
        for task_id in answer:
            self._check_lease("let go", task_id, held[task_id])
        self._drop([answer], None)

    def _check_lease(self, what: str, task_id: TaskId, fence: Fence) -> None:
        newest = self._handed_out.get(task_id, fence)
        if fence < newest:
            self._blame("a lost lease stays lost", f"{task_id} was {what} under {fence} though {newest} holds it")

    def _is_over(self, task_id: TaskId, fence: Fence) -> bool:
        return (task_id, fence) in self._kept or self._has_ended(task_id, fence)
