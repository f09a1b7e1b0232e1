"""Recording: what running attempts have to say, under their fences, wherever it can be kept.

Postgres first; the outbox while Postgres is away, or for tasks whose insert still waits there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from orchestrator.domain.ids import TaskId, Tenant, WorkerId
from orchestrator.domain.outbox import RecordKind, Write
from orchestrator.domain.steps import Step
from orchestrator.domain.task import Claim
from orchestrator.ledger import outbox_records
from orchestrator.operations.patience import patiently
from orchestrator.operations.seal import open_step, step_result
from orchestrator.operations.standby import appended, early, written
from orchestrator.runtime import Runtime

_RELAYED_SECONDS = 0.2
"""How often it is looked whether the relay has brought a task's row."""


async def record(
    runtime: Runtime,
    worker: WorkerId,
    ids: Sequence[TaskId],
    direct: Callable[[], Awaitable[Sequence[bool]]],
    write: Callable[[int], Write],
) -> list[bool]:
    """Keep a write for each of the tasks; False for a stale one, which changed nothing.

    `direct` writes them to Postgres and may be called again; `write` makes one of them, by its place, for the outbox.
    Waits while neither store answers.
    """

    async def directly() -> list[bool]:
        answers = list(await direct())
        refused = [place for place, kept in enumerate(answers) if not kept]
        late = await early(runtime, [ids[place] for place in refused])
        places = [place for place in refused if ids[place] in late]
        if len(places) < len(refused):
            # The relay may have brought their rows between the refusal and that look: this answer is definite.
            again = await direct()
            for place in set(refused) - set(places):
                answers[place] = again[place]
        if places:
            for place, kept in zip(places, await append(places), strict=True):
                answers[place] = kept
        return answers

    async def append(places: Sequence[int]) -> list[bool]:
        return await appended(runtime, lambda: runtime.queue.record(worker, [write(place) for place in places]))

    async def to_outbox() -> list[bool]:
        return await append(range(len(ids)))

    return await patiently(runtime.clock, lambda: written(runtime, directly, to_outbox))


async def start(runtime: Runtime, worker: WorkerId, claims: Sequence[Claim]) -> set[TaskId]:
    """Record attempts as running; return those accepted: the others' tasks are final or claimed anew."""

    async def direct() -> list[bool]:
        accepted = await runtime.ledger.start(claims)
        return [claim.entry.id in accepted for claim in claims]

    def write(place: int) -> Write:
        claim = claims[place]
        return Write(RecordKind.START, claim.entry.id, claim.fence, outbox_records.started(claim))

    ids = [claim.entry.id for claim in claims]
    answers = await record(runtime, worker, ids, direct, write)
    return {task_id for task_id, accepted in zip(ids, answers, strict=True) if accepted}


async def save_step(runtime: Runtime, claim: Claim, name: str, result: bytes) -> bool:
    """Keep the JSON result of a finished step for the attempts to come; False for a stale attempt."""
    sealed = runtime.vault.seal(claim.entry.tenant, claim.entry.id, step_result(name), result)

    async def direct() -> list[bool]:
        return [await runtime.ledger.save_step(claim, name, sealed)]

    def write(_: int) -> Write:
        kept = outbox_records.step(claim, name, sealed)
        return Write(RecordKind.STEP, claim.entry.id, claim.fence, kept, (name, sealed))

    return (await record(runtime, claim.worker, [claim.entry.id], direct, write))[0]


async def begin_steps(runtime: Runtime, claim: Claim, steps: Sequence[Step]) -> dict[str, Step]:
    """Keep calls and sleeps that begin, and return them as they were first begun; empty for a stale attempt.

    Waits while Postgres is away, and until it has the task: they mean nothing without it.
    """
    while True:
        begun = await patiently(runtime.clock, lambda: runtime.ledger.begin_steps(claim, steps))
        if begun or not await is_on_its_way(runtime, claim.entry.id):
            return _opened(runtime, claim.entry.tenant, claim.entry.id, begun)


async def is_on_its_way(runtime: Runtime, task_id: TaskId) -> bool:
    """Whether a task that Postgres does not know comes to it through the outbox; True after a moment, to ask again."""
    if not await patiently(runtime.clock, lambda: early(runtime, [task_id])):
        return False
    await asyncio.sleep(_RELAYED_SECONDS)
    return True


async def load_steps(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> dict[str, Step]:
    """Return what a task has finished or begun, by name. Raises SealKeyMissing or SealBroken.

    Waits for Postgres, which alone has those of earlier lives of the task; a worker without Postgres has what was kept
    through the outbox while the task lives.
    """
    found = await patiently(runtime.clock, lambda: runtime.queue.steps(task_id))
    late = {name: Step(name, result) for name, result in found.items()}
    if runtime.standby.isolated:
        return _opened(runtime, tenant, task_id, late)
    recorded = await patiently(runtime.clock, lambda: runtime.ledger.steps(task_id))
    return _opened(runtime, tenant, task_id, {**recorded, **late})


def _opened(runtime: Runtime, tenant: Tenant, task_id: TaskId, steps: dict[str, Step]) -> dict[str, Step]:
    return {name: open_step(runtime, tenant, task_id, step) for name, step in steps.items()}
