"""Resealing: a new master key takes the place of an old one, and what was plain of encrypted tenants is sealed.

Whatever is stored is walked in pages, in Postgres first and then in Redis, and replaced where it still is what was
found. It may be interrupted, run again, and run beside everything else: what it has done it does not find any more.
A system whose every process has the new key first writes nothing under the old one, so a walk comes to an end.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from orchestrator.domain.errors import NotConfigured, SealBroken, SealKeyMissing
from orchestrator.domain.ids import LOWEST_ID, TaskId
from orchestrator.ledger.resealing import Stale, StaleFingerprint, Wanted
from orchestrator.operations.seal import ERROR, PAYLOAD, PROGRESS, RESULT, event_data, step_result
from orchestrator.queue.port import Value
from orchestrator.runtime import Runtime
from orchestrator.vault.vault import SEALED_MARK, Vault

T = TypeVar("T")

_PAGE = 200
_VALUES = 2_000
"""At one go: a task may have told very much."""
_WHAT = {"payload": PAYLOAD, "result": RESULT, "error": ERROR, "run": ERROR, "progress": PROGRESS}


@dataclass(slots=True)
class Walk:
    """How far it has come."""

    sealed: int = 0
    """Values that were under another key, or plain, and are so no longer."""
    left: int = 0
    """Values that still are, because they cannot be opened."""
    waiting: int = 0
    """Records in the outbox, which are not looked at."""
    untold: int = 0
    """Endings that are still to be told with values under another key, or plain: their deliveries are sealed anew."""
    problems: set[str] = field(default_factory=set)
    """Why values cannot be opened."""


async def reseal(runtime: Runtime) -> AsyncIterator[Walk]:
    """Walk over everything, and tell after each page how far it has come; what is told last is the whole.

    Raises NotConfigured without keys, and Unavailable while a store is away: what was done until then stays done.
    """
    vault, walk = runtime.vault, Walk()
    if vault.newest is None:
        raise NotConfigured("AUREA_ENCRYPTION_KEYS", "to the master keys, the newest first")
    wanted = Wanted(SEALED_MARK, vault.newest_mark, f"{vault.newest}:".encode(), vault.tenants)
    after = LOWEST_ID
    while (last := await runtime.ledger.page_end(after, _PAGE)) is not None:
        await _reseal_fingerprints(runtime, after, last, wanted, walk)
        await _reseal_rows(runtime, after, last, wanted, walk)
        yield walk
        after = last
    after = LOWEST_ID
    while ids := await runtime.ledger.live_ids(after, _PAGE):
        await _reseal_queued(runtime, ids, walk)
        yield walk
        after = ids[-1]
    walk.waiting = await runtime.queue.outbox_depth()
    walk.untold = await runtime.ledger.stale_callbacks(wanted)
    yield walk


async def _reseal_rows(runtime: Runtime, after: TaskId, last: TaskId, wanted: Wanted, walk: Walk) -> None:
    """What is found again as it was cannot be opened; what changed meanwhile is looked at anew."""
    seen: set[int] = set()
    """Their hashes: a task may have told a million events."""
    found = await runtime.ledger.stale(after, last, _VALUES, wanted)
    while fresh := [stale for stale in found if hash(stale) not in seen]:
        seen.update(map(hash, fresh))
        await runtime.ledger.reseal(_renewed(fresh, partial(_renew, runtime.vault), walk))
        found = await runtime.ledger.stale(after, last, _VALUES, wanted)
    walk.sealed += len(seen.difference(map(hash, found)))
    walk.left += len(found)


async def _reseal_fingerprints(runtime: Runtime, after: TaskId, last: TaskId, wanted: Wanted, walk: Walk) -> None:
    vault = runtime.vault

    def renew(stale: StaleFingerprint) -> bytes:
        return vault.renew_fingerprint(stale.tenant, stale.idempotency_key, stale.value)

    found = await runtime.ledger.stale_fingerprints(after, last, wanted)
    changes = _renewed(found, renew, walk)
    if changes:
        await runtime.ledger.reseal_fingerprints(changes)
    walk.sealed += len(changes)
    walk.left += len(found) - len(changes)


async def _reseal_queued(runtime: Runtime, ids: Sequence[TaskId], walk: Walk) -> None:
    """Redis keeps its own copies of what is live."""

    def renew(value: Value) -> bytes:
        what = PAYLOAD if value.step is None else step_result(value.step)
        return runtime.vault.renew(value.tenant, value.task_id, what, value.value)

    kept = await runtime.queue.values(ids)
    renewed = _renewed(kept, renew, walk)
    walk.left += len(kept) - len(renewed)
    changes = [(value, new) for value, new in renewed if new is not value.value]
    walk.sealed += sum(await runtime.queue.exchange(changes)) if changes else 0


def _renewed(values: Sequence[T], renew: Callable[[T], bytes], walk: Walk) -> list[tuple[T, bytes]]:
    """Return those that can be opened, with their new form, and note what is wrong with the others."""
    changes = []
    for value in values:
        try:
            changes.append((value, renew(value)))
        except (SealBroken, SealKeyMissing) as error:
            walk.problems.add(str(error))
    return changes


def _renew(vault: Vault, stale: Stale) -> bytes:
    match stale.place:
        case "step":
            what = step_result(stale.name)
        case "event":
            what = event_data(stale.name)
        case _:
            what = _WHAT[stale.place]
    return vault.renew(stale.tenant, stale.task_id, what, stale.value)
