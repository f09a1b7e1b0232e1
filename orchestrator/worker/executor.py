"""One attempt, as a straight line: find the handler, start it, bound it by its timeout, hand on its outcome.

Whatever a handler does ends its attempt and never the worker. An attempt has an outcome, or it raises: LeaseLost when
a newer fence exists, CancelledError when the worker cancelled it. In each case the handler is ended (a thread is left
behind), and nothing that it still tells is written.
"""

import asyncio
import types
from asyncio import timeout
from collections.abc import Coroutine, Generator
from dataclasses import replace
from typing import Any

from orchestrator.discovery import Handlers
from orchestrator.domain.errors import LeaseLost, SealBroken, SealKeyMissing, UnknownType
from orchestrator.domain.outcome import Failed, Outcome, Unfit
from orchestrator.domain.retry import is_suspect
from orchestrator.domain.task import Claim
from orchestrator.worker.bench import Bench
from orchestrator.worker.context import AttemptContext
from orchestrator.worker.failure import fail
from orchestrator.worker.isolation import run_in_process
from orchestrator.worker.performance import perform

_SUSPECTS_AT_ONCE = 2
"""Each is a process to start; many at once would take so long that a storm of kills catches all of them again."""
UNKNOWN_TYPE_RETRY_SECONDS = 30.0
"""In a rolling release a worker that knows the type is there within a few of these."""
KEY_MISSING_RETRY_SECONDS = 30.0


class Executor:
    """Runs the attempts of one worker and keeps nothing between them."""

    def __init__(self, handlers: Handlers, bench: Bench) -> None:
        self._handlers = handlers
        self._by_type = dict(handlers)
        self._bench = bench
        self._suspects = asyncio.Semaphore(_SUSPECTS_AT_ONCE)

    async def run(self, claim: Claim) -> Outcome:
        """Return what the attempt came to; what it told is in the journal, not always written yet.

        Raises LeaseLost, and CancelledError when this call is cancelled.
        """
        if not is_suspect(claim.entry.crashes):
            return await self._run(claim)
        async with self._suspects:
            return await self._run(claim)

    async def _run(self, claim: Claim) -> Outcome:
        handler = self._by_type.get(claim.entry.type)
        if handler is None:
            reason = str(UnknownType(claim.entry.type, self._handlers.known()))
            return Unfit(fail(claim.entry.type, "unknown_type", reason).error, UNKNOWN_TYPE_RETRY_SECONDS)
        try:
            context = AttemptContext(self._bench.open(claim), self._bench)
        except SealKeyMissing as missing:  # as in a rolling change of the keys: another worker may have it
            return Unfit(fail(claim.entry.type, missing.code, str(missing)).error, KEY_MISSING_RETRY_SECONDS)
        except SealBroken as broken:
            return Failed(replace(fail(claim.entry.type, broken.code, str(broken)).error, retryable=False))
        work = (
            run_in_process(handler, self._handlers.source(handler.name), context)
            if handler.isolation == "process" or is_suspect(claim.entry.crashes)
            else perform(handler, context)
        )
        try:
            awaited = work.send(None)
            return await _within_timeout(claim, work, awaited)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return] # it never waited, so it needed no timeout
        except LeaseLost:
            raise
        except Exception as fault:  # noqa: BLE001 - of ours, not the handler's: the attempt ends all the same
            return fail(claim.entry.type, type(fault).__name__, str(fault))
        finally:
            context.close()


async def _within_timeout(claim: Claim, work: Coroutine[Any, Any, Outcome], awaited: Any) -> Outcome:
    seconds = claim.entry.timeout_seconds
    try:
        async with timeout(seconds):
            return await _go_on(work, awaited)
    except TimeoutError:
        return fail(claim.entry.type, "timeout", f"it did not end within {seconds:g} s")


@types.coroutine
def _go_on(work: Coroutine[Any, Any, Outcome], awaited: Any) -> Generator[Any, Any, Outcome]:
    """Finish a coroutine that took its first step already and waits for `awaited`."""
    while True:
        try:
            try:
                answer = yield awaited
            except BaseException as thrown:  # noqa: BLE001 - a cancellation, passed on
                awaited = work.throw(thrown)
            else:
                awaited = work.send(answer)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
