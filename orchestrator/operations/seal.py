"""Sealing: what the tasks of encrypted tenants hold is sealed before it is stored, and opened for whoever may see it.

Sealed are payload, result, the results of steps, what handlers tell, progress and the message of an error: in Postgres,
in Redis and in the outbox. Each value is bound to its tenant, its task and its place. What is searched, grouped and
ordered by is not: types, states, tags, idempotency keys, names of steps, kind and fingerprint of an error.

The pieces that are opened here raise SealKeyMissing or SealBroken; those of a list, or of an answer to what was done
already, say in the place of the value why it cannot be read.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson

from orchestrator.domain.errors import SealBroken, SealKeyMissing
from orchestrator.domain.events import Event, EventKind, Told
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.states import FINAL
from orchestrator.domain.steps import Step, StepKind, StepView
from orchestrator.domain.task import Claim, NewTask, Run, Settlement, Task
from orchestrator.runtime import Runtime
from orchestrator.vault.vault import MARK, Vault

PAYLOAD, RESULT, ERROR = "payload", "result", "error"
PROGRESS = "progress event"
_Excused = tuple[type[Exception], ...]
_UNREADABLE: _Excused = (SealBroken, SealKeyMissing)


def step_result(name: str) -> str:
    """What the result of a step is called."""
    return f"step {name}"


def event_data(kind: EventKind | str) -> str:
    """What the data of an event is called."""
    return f"{kind} event"


def seal_task(runtime: Runtime, task: NewTask) -> NewTask:
    """Return a new task as it is stored; its id has to be the one it keeps."""
    payload = runtime.vault.seal(task.tenant, task.id, PAYLOAD, task.payload)
    return task if payload is task.payload else replace(task, payload=payload)


def open_claim(vault: Vault, claim: Claim) -> Claim:
    """Return a claim with its payload for the handler. What it writes later is sealed if its payload was."""
    entry = claim.entry
    payload = vault.open(entry.tenant, entry.id, PAYLOAD, entry.payload)
    if payload is entry.payload:
        return claim
    vault.meet(entry.tenant, entry.payload)
    return replace(claim, entry=replace(entry, payload=payload))


def seal_ending(runtime: Runtime, ending: Settlement) -> Settlement:
    """Return an ending as it is stored. A task that goes back to the queue goes there under the newest key."""
    vault, entry = runtime.vault, ending.claim.entry
    result, error, progress = ending.result, ending.error, ending.progress
    if result is not None:
        result = vault.seal(entry.tenant, entry.id, RESULT, result)
    if progress is not None:
        progress = vault.seal(entry.tenant, entry.id, PROGRESS, progress)
    if error is not None and (vault.seals(entry.tenant) or error.message.startswith(MARK)):
        message = vault.seal(entry.tenant, entry.id, ERROR, orjson.dumps(error.message))
        error = replace(error, message=orjson.loads(message))
    claim = ending.claim if ending.state in FINAL else _renewed(vault, ending.claim)
    same = result is ending.result and error is ending.error and progress is ending.progress
    if same and claim is ending.claim:
        return ending
    return replace(ending, claim=claim, result=result, error=error, progress=progress)


def _renewed(vault: Vault, claim: Claim) -> Claim:
    entry = claim.entry
    with suppress(SealBroken, SealKeyMissing):  # whoever runs it next will say so
        payload = vault.renew(entry.tenant, entry.id, PAYLOAD, entry.payload)
        if payload is not entry.payload:
            return replace(claim, entry=replace(entry, payload=payload))
    return claim


def seal_told(runtime: Runtime, told: Told) -> Told:
    """Return what a handler told as it is stored and published."""
    data = runtime.vault.seal(told.tenant, told.task_id, event_data(told.kind), told.data)
    return told if data is told.data else replace(told, data=data)


def open_step(runtime: Runtime, tenant: Tenant, task_id: TaskId, step: Step) -> Step:
    """Return a step with its result, or its child's, for the handler."""
    vault, child = runtime.vault, step.child
    if step.result is not None:
        result = vault.open(tenant, task_id, step_result(step.name), step.result)
        step = step if result is step.result else replace(step, result=result)
    if child is None or step.child_id is None:
        return step
    if child.result is not None:
        child = replace(child, result=vault.open(tenant, step.child_id, RESULT, child.result))
    return replace(step, child=replace(child, error=_error(vault, tenant, step.child_id, child.error)))


def open_task(runtime: Runtime, task: Task, *, listed: bool = False) -> Task:
    """Return a task as its tenant sees it; `listed`: one that cannot be read does not spoil the answer."""
    vault, who, excused = runtime.vault, (task.tenant, task.id), _UNREADABLE if listed else ()
    opened = {
        "payload": _value(vault, *who, PAYLOAD, task.payload, excused),
        "result": _value(vault, *who, RESULT, task.result, excused),
        "error": _error(vault, *who, task.error, excused),
        "progress": _value(vault, *who, PROGRESS, task.progress, excused),
    }
    changed = {name: value for name, value in opened.items() if value is not getattr(task, name)}
    return replace(task, **changed) if changed else task


def open_ending(runtime: Runtime, tenant: Tenant, task_id: TaskId, told: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a task that ended as its tenant sees it; in the place of a broken value, that it is.

    Raises SealKeyMissing: what is told stands for good, and who has the key can tell it right.
    """
    result = _value(runtime.vault, tenant, task_id, RESULT, told["result"], (SealBroken,))
    return {**told, "result": result, "error": _error(runtime.vault, tenant, task_id, told["error"], (SealBroken,))}


def open_run(runtime: Runtime, tenant: Tenant, run: Run) -> Run:
    error = _error(runtime.vault, tenant, run.task_id, run.error)
    return run if error is run.error else replace(run, error=error)


def open_event(runtime: Runtime, tenant: Tenant, event: Event, *, listed: bool = False) -> Event:
    excused = _UNREADABLE if listed else ()
    data = _value(runtime.vault, tenant, event.task_id, event_data(event.kind), event.data, excused)
    return event if data is event.data else replace(event, data=data)


def open_step_view(runtime: Runtime, tenant: Tenant, task_id: TaskId, view: StepView) -> StepView:
    vault = runtime.vault
    child_id = view.child_id if view.kind is StepKind.CALL else None
    whose, what = (task_id, step_result(view.name)) if child_id is None else (child_id, RESULT)
    result = _value(vault, tenant, whose, what, view.result)
    return replace(view, result=result, error=_error(vault, tenant, whose, view.error))


def open_message(runtime: Runtime, tenant: Tenant, task_id: TaskId, message: str) -> str:
    """Return the message of a task's error; why it cannot be read, where it cannot."""
    opened: str = _value(runtime.vault, tenant, task_id, ERROR, message, _UNREADABLE, worded=True)
    return opened


def _error(
    vault: Vault, tenant: Tenant, task_id: TaskId, error: dict[str, Any] | None, excused: _Excused = ()
) -> dict[str, Any] | None:
    if error is None or not isinstance(error.get("message"), str):
        return error
    message = _value(vault, tenant, task_id, ERROR, error["message"], excused, worded=True)
    return error if message is error["message"] else {**error, "message": message}


def _value(
    vault: Vault, tenant: Tenant, task_id: TaskId, what: str, value: Any, excused: _Excused = (), worded: bool = False
) -> Any:
    """Open a decoded JSON value, or an orjson.Fragment of one; only a text can be sealed.

    An excused error is not raised but told in the place of the value.
    """
    is_text = isinstance(value, orjson.Fragment)  # JSON that was not decoded
    if not is_text and not (isinstance(value, str) and value.startswith(MARK)):
        return value
    kept = orjson.dumps(value)
    try:
        opened = vault.open(tenant, task_id, what, kept)
    except excused as error:
        return f"unreadable: {error}" if worded else {"unreadable": str(error)}
    if opened is kept:
        return value
    return orjson.Fragment(opened) if is_text else orjson.loads(opened)
