"""Calls and sleeps of one attempt: begun once for the task, answered once they are over, waited for in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from orchestrator.domain.errors import InvalidInput, LeaseLost, TooLarge
from orchestrator.domain.states import State
from orchestrator.domain.steps import Step, StepKind, Wait
from orchestrator.sdk import Call, ChildFailed, Terminal
from orchestrator.worker.bench import Submission
from orchestrator.worker.encoding import Unstorable, encode_json
from orchestrator.worker.waits import check_outside

if TYPE_CHECKING:
    from orchestrator.worker.context import AttemptContext

_LONGEST_SECONDS = 3650 * 86_400.0
_HELD_SECONDS = 1.0
"""A sleep that is no longer is waited for here: to park and to wake takes about as long."""


class Calls:
    """One for each attempt that calls or sleeps."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context
        self._unnamed: Counter[str] = Counter()

    async def call(self, calls: Sequence[Call]) -> list[Any]:
        """Return each result once all have ended; parks until then.

        In the place of one that has none stands its ChildFailed, or what it was refused for.
        """
        context = self._context
        check_outside()
        with context.waits.acting():
            wanted = [(self._name(call.name, call.type, call.payload), call) for call in calls]
            begun = await self._begun([Step(name, kind=StepKind.CALL) for name, _ in wanted])
            refused = await self._submit_all({name: call for name, call in wanted if begun[name].child is None}, begun)
        kept = [step for name, step in begun.items() if name not in refused]
        unended = [step.child_id for step in kept if step.child_id and not (step.child and step.child.ended)]
        if unended:
            await context.waits.on(Wait(tuple(unended), every_child=True))
        return [refused.get(name) or _answer(begun[name], call) for name, call in wanted]

    async def sleep(self, seconds: float, name: str | None) -> None:
        """Postgres' clock decides: a sleep that it calls over is over, whatever this machine's says."""
        context = self._context
        check_outside()
        if not 0 <= seconds <= _LONGEST_SECONDS:
            raise Terminal(f"a sleep takes 0 to {_LONGEST_SECONDS:.0f} seconds, not {seconds!r}")
        if seconds <= _HELD_SECONDS and name is None:
            with context.waits.acting():
                await asyncio.sleep(seconds)
            return
        with context.waits.acting():
            name = self._name(name, "sleep", seconds)
            before = await context.recall(name)
            wake_at = context.bench.clock.now() + timedelta(seconds=seconds)
            begun = (await self._begun([Step(name, kind=StepKind.SLEEP, wake_at=wake_at, seconds=seconds)]))[name]
            if begun.result is not None:
                return
            if before is None and seconds <= _HELD_SECONDS:
                await asyncio.sleep(seconds)
                return
        await context.waits.on(Wait(wake_at=begun.wake_at))

    def _name(self, name: str | None, kind: str, content: Any) -> str:
        """Return the name given, or one that is made of all that is asked for: the order of calls may change."""
        if name is None:
            digest = sha256(encode_json(content, f"what is asked of {kind!r}")).hexdigest()[:8]
            usual = f"{kind} {digest}"
            self._unnamed[usual] += 1
            name = usual if self._unnamed[usual] == 1 else f"{usual} {self._unnamed[usual]}"
        self._context.take_name(name)
        return name

    async def _begun(self, wanted: Sequence[Step]) -> dict[str, Step]:
        """Return them as they were first begun; what is new begins now. Raises LeaseLost."""
        context = self._context
        found: dict[str, Step] = {}
        for step in wanted:
            context.check_name(step.name)
            kept = await context.recall(step.name)
            if kept is not None and kept.kind is not step.kind:
                raise RuntimeError(f"the name {step.name!r} is a {kept.kind}'s already: give the {step.kind} another")
            if kept is not None:
                found[step.name] = kept
        fresh = {step.name: step for step in wanted if step.name not in found}
        if not fresh:
            return found
        asked = [
            Step(step.name, kind=step.kind, wake_at=step.wake_at, child_id=context.bench.clock.task_id())
            if step.kind is StepKind.CALL
            else step
            for step in fresh.values()
        ]
        begun = await context.bench.steps.begin(context.claim, asked)
        if not begun:
            context.lost = True
            raise LeaseLost(context.task_id, context.fence)
        context.remember(begun)
        return found | dict(begun)

    async def _submit_all(self, calls: dict[str, Call], begun: dict[str, Step]) -> dict[str, Exception]:
        """Hand in children side by side, and return those that are refused for what they ask."""
        names = list(calls)
        answers = await asyncio.gather(
            *[self._submit(begun[name], calls[name]) for name in names], return_exceptions=True
        )
        refused: dict[str, Exception] = {}
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, InvalidInput | TooLarge | Unstorable):
                refused[name] = answer
            elif isinstance(answer, BaseException):
                raise answer
        return refused

    async def _submit(self, step: Step, call: Call) -> None:
        context = self._context
        payload = orjson.loads(encode_json(call.payload, f"the payload of a called {call.type!r}"))
        submission = Submission(
            call.type,
            payload,
            priority=call.priority,
            queue=call.queue,
            max_retries=call.max_retries,
            timeout_seconds=call.timeout_seconds,
            child_id=step.child_id,
        )
        await context.bench.submit(context.claim, submission)


def _answer(step: Step, call: Call) -> Any:
    child = step.child
    if child is None or step.child_id is None:
        raise RuntimeError(f"the call {step.name!r} has no child")
    if child.status is not State.SUCCEEDED:
        return ChildFailed(step.child_id, call.type, child.status.value, child.error)
    return orjson.loads(child.result or b"null")
