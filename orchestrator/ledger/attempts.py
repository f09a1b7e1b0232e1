"""Attempts: what workers write, under the fence of their claim.

A write is accepted while the task is not final and its row carries no higher fence; a refused one changes nothing.
Every statement is one transaction and may be run again when its commit is unknown.
"""

from collections.abc import Sequence

import orjson

from orchestrator.domain.ids import TaskId
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.steps import Step
from orchestrator.domain.task import Claim, Settlement
from orchestrator.ledger.columns import sparse
from orchestrator.ledger.database import Database
from orchestrator.ledger.records import step_of
from orchestrator.ledger.statements import load

_SQL = load("attempts")


class Attempts:
    _database: Database

    async def start(self, claims: Sequence[Claim]) -> set[TaskId]:
        """Record attempts as running and return those accepted; the others' tasks are final or claimed anew."""
        places = await self._database.value(
            _SQL["start"],
            [claim.entry.id for claim in claims],
            [claim.fence for claim in claims],
            [claim.attempt for claim in claims],
            [claim.worker for claim in claims],
            [claim.claimed_at_us for claim in claims],
        )
        return {claims[place - 1].entry.id for place in places}

    async def on_record(self, claims: Sequence[Claim]) -> set[TaskId]:
        """Return those whose run stands there as running: the handler had begun."""
        places = await self._database.value(
            _SQL["on_record"], [claim.entry.id for claim in claims], [claim.run_fence for claim in claims]
        )
        return {claims[place - 1].entry.id for place in places}

    async def settle(self, settlements: Sequence[Settlement], *, late: bool = False) -> list[bool]:
        """Record endings, tasks and runs in one statement; answer in order whether each was accepted.

        An ending that is on record already, from a try whose commit was unknown, is accepted again. A crash is refused
        when the lost run, or a sweep that found it earlier, has left an ending. `late`: they were decided some time
        ago, so no moment is that of the call.
        """
        places = await self._database.value(_SQL["settle"], *settle_columns(settlements, late), late)
        if len(places) == len(settlements):
            return [True] * len(settlements)
        accepted = {*places, *await self._settled(settlements)}
        return [place in accepted for place in range(1, len(settlements) + 1)]

    async def _settled(self, settlements: Sequence[Settlement]) -> list[int]:
        places: list[int] = await self._database.value(
            _SQL["settled"],
            [ending.claim.entry.id for ending in settlements],
            [ending.claim.fence for ending in settlements],
            [ending.state for ending in settlements],
        )
        return places

    async def save_step(self, claim: Claim, name: str, result: bytes) -> bool:
        """Keep the JSON result of a finished step for the attempts to come; False for a stale attempt."""
        kept = await self._database.value(_SQL["save_step"], claim.entry.id, claim.fence, name, result.decode())
        return kept is True

    async def steps(self, task_id: TaskId) -> dict[str, Step]:
        """Return what a task has finished or begun, by name."""
        rows = await self._database.rows(_SQL["steps"], task_id)
        return {row["name"]: step_of(row) for row in rows}

    async def begin_steps(self, claim: Claim, steps: Sequence[Step]) -> dict[str, Step]:
        """Keep calls and sleeps that begin, and return them as they were first begun; empty for a stale attempt."""
        rows = await self._database.rows(
            _SQL["begin_steps"],
            claim.entry.id,
            claim.fence,
            [step.name for step in steps],
            [step.kind for step in steps],
            [step.child_id for step in steps],
            [step.seconds for step in steps],
        )
        return {row["name"]: step_of(row) for row in rows}


def settle_columns(endings: Sequence[Settlement], late: bool) -> tuple[list[object], ...]:
    """Return all that is written of endings, column by column."""
    claims = [ending.claim for ending in endings]
    return (
        [claim.entry.id for claim in claims],
        [claim.fence for claim in claims],
        [claim.run_fence for claim in claims],
        [ending.state for ending in endings],
        [ending.run_status for ending in endings],
        [claim.attempt for claim in claims],
        [ending.attempt for ending in endings],
        [ending.crashes for ending in endings],
        [claim.worker for claim in claims],
        [None if ending.state is State.EXPIRED else ending.claim.claimed_at_us for ending in endings],
        [
            None if _ends_now(ending) and not late else ending.claim.claimed_at_us + ending.duration_us
            for ending in endings
        ],
        sparse([ending.delay_us for ending in endings]),
        sparse([None if ending.result is None else ending.result.decode() for ending in endings]),
        sparse([None if ending.error is None else orjson.dumps(ending.error).decode() for ending in endings]),
        sparse([None if ending.progress is None else ending.progress.decode() for ending in endings]),
    )


def _ends_now(ending: Settlement) -> bool:
    """Whether nobody saw the end: then it is when it was noticed."""
    return ending.run_status is RunStatus.CRASHED or ending.state is State.EXPIRED
