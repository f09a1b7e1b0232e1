"""Receiving: a webhook delivery that was proved becomes one task, however often it comes.

Three things know a repeat. The record in Postgres, which outlives the task; the task's idempotency key, which decides
between simultaneous ones; and that key in Redis, while Postgres is away. Record and task are stored in one statement,
at once or from the outbox, so a crash leaves both or neither.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from orchestrator.domain.delivery import PROCESSOR, Arrival, DeliveryFilter, DeliveryView
from orchestrator.domain.errors import Conflict, KeyConflict, NotFound, Unavailable
from orchestrator.domain.ids import TaskId, Tenant, parse_task_id
from orchestrator.domain.task import Task
from orchestrator.operations import read
from orchestrator.operations.paging import Page, open_cursor, page_of
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.seal import open_task
from orchestrator.operations.standby import leave
from orchestrator.operations.submit import Intake, Receipt
from orchestrator.runtime import Runtime

BATCH = 1_000
_FEWEST_DAYS = 7
_LOOK_SECONDS = 0.5
"""How long the record is asked; with what keeping a task takes it makes the three seconds that Slack waits."""


async def receive(
    runtime: Runtime, intake: Intake, arrival: Arrival, headers: Mapping[str, str], body: Any, origin: Origin
) -> Receipt:
    """Keep a delivery as a task, or return the task that it became before.

    Raises Conflict for a repeat whose task is forgotten, and what submitting raises.
    """
    before = await _seen(runtime, origin.tenant, arrival)
    if before is not None:
        return Receipt(await _task(runtime, origin.tenant, before), replayed=True)
    payload = {
        "source": arrival.source,
        "event": arrival.event,
        "delivery": arrival.delivery_id,
        "headers": headers,
        "body": body,
    }
    request = TaskRequest(type=PROCESSOR, payload=payload, idempotency_key=arrival.key)
    try:
        receipt = await intake.submit(request, replace(origin, arrival=arrival))
    except KeyConflict as seen:
        # A version of ours that kept other headers stored it: the delivery id alone tells a repeat.
        receipt = Receipt(await read.get(runtime, origin.tenant, TaskId(seen.task_id)), replayed=True)
    if receipt.replayed:
        await _seen(runtime, origin.tenant, arrival)
    return receipt


async def _seen(runtime: Runtime, tenant: Tenant, arrival: Arrival) -> TaskId | None:
    """Return the task of a delivery that is on record; None also when Postgres cannot say so now."""
    postgres = runtime.standby.postgres
    if postgres.silent:
        return None
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return await runtime.ledger.see_delivery(tenant, arrival, runtime.clock.now())
    except TimeoutError:
        return None
    except Unavailable as away:
        leave(runtime, postgres, away)
        return None


async def _task(runtime: Runtime, tenant: Tenant, task_id: TaskId) -> Task:
    try:
        return await read.get(runtime, tenant, task_id)
    except NotFound:
        raise Conflict(f"this delivery came before: its task {task_id} has ended and is forgotten") from None


async def page(
    runtime: Runtime, tenant: Tenant, wanted: DeliveryFilter, cursor: str | None, limit: int
) -> Page[DeliveryView]:
    """Return deliveries, newest first. Raises InvalidCursor, or Unavailable."""
    found = await runtime.ledger.deliveries(tenant, wanted, open_cursor(cursor, parse_task_id), limit + 1)
    return page_of(found, limit, lambda delivery: delivery.id)


async def show(runtime: Runtime, tenant: Tenant, delivery_id: TaskId) -> tuple[DeliveryView, Task | None]:
    """Return a delivery and the task that has its content; None when that is forgotten. Raises NotFound."""
    found = await runtime.ledger.delivery(tenant, delivery_id)
    if found is None:
        raise NotFound(f"no delivery {delivery_id}")
    task = await runtime.ledger.read(tenant, found.task_id)
    return found, task and open_task(runtime, task)


async def redeliver(runtime: Runtime, intake: Intake, delivery_id: TaskId, origin: Origin) -> Receipt:
    """Process the content of a delivery once more, as a delivery of its own: `<id>~1`, `<id>~2`, ...

    So rules make their tasks anew, but for those with keys of their own. Each call makes a task. Raises NotFound, or
    Conflict when the content is forgotten.
    """
    found, task = await show(runtime, origin.tenant, delivery_id)
    number = task and await runtime.ledger.count_redelivery(origin.tenant, delivery_id)
    if task is None or number is None:
        raise Conflict(f"the content of this delivery is forgotten: its task {found.task_id} ended too long ago")
    payload = {**task.payload, "delivery": f"{found.delivery_id}~{number}"}
    return await intake.submit(TaskRequest(type=PROCESSOR, payload=payload), replace(origin, own=True))


async def forget(runtime: Runtime) -> int:
    """Delete the records of deliveries that have not come for the retention, BATCH at most; return how many.

    None goes before senders have stopped repeating it, however short the retention.
    """
    kept_for = timedelta(days=max(runtime.limits.retention_days, _FEWEST_DAYS))
    return await runtime.ledger.forget_deliveries(runtime.clock.now() - kept_for, BATCH)
