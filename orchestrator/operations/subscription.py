"""Subscriptions: who is told of a tenant's final states; made, shown, changed, tried out, and told again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator.domain.errors import AureaError, Conflict, NotFound
from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.subscription import CALLBACKS, DELIVER, MOST_SUBSCRIPTIONS, Subscription, SubscriptionId
from orchestrator.domain.task import Task
from orchestrator.operations import read
from orchestrator.operations.announce import delivery_request, event_payload
from orchestrator.operations.cancel import cancel_orphan
from orchestrator.operations.paging import Page
from orchestrator.operations.replay import run_again
from orchestrator.operations.request import Origin, check_reach
from orchestrator.operations.submit import Intake
from orchestrator.runtime import Runtime

MOST_AGAIN = 10_000
"""Endings that one call tells again."""
_CANCELLED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A subscription with the secret that signs what it is sent."""

    subscription: Subscription
    secret: str


async def create(
    runtime: Runtime,
    tenant: Tenant,
    url: str,
    *,
    types: Sequence[str] | None = None,
    states: Sequence[State] | None = None,
    description: str = "",
) -> Shown:
    """Subscribe an address; it is told of what ends from now on.

    Raises NotConfigured without a master secret, InvalidInput for an address that will never be called, Conflict when
    the tenant has MOST_SUBSCRIPTIONS.
    """
    runtime.signer.check()
    check_reach(runtime, url, "/url")
    wanted = SubscriptionId(runtime.clock.task_id())
    made = await runtime.ledger.subscribe(tenant, wanted, url, types, states, description)
    if made is None:
        raise Conflict(f"a tenant has at most {MOST_SUBSCRIPTIONS} subscriptions: delete one first")
    return _shown(runtime, made)


async def list_all(runtime: Runtime, tenant: Tenant) -> list[Subscription]:
    """Return the tenant's, newest first."""
    return await runtime.ledger.subscriptions(tenant)


async def get(runtime: Runtime, tenant: Tenant, wanted: SubscriptionId) -> Subscription:
    return _found(await runtime.ledger.subscription(tenant, wanted), wanted)


async def enable(runtime: Runtime, tenant: Tenant, wanted: SubscriptionId) -> Subscription:
    """Go on with a subscription that was disabled; what it missed is not told before `replay`."""
    return _found(await runtime.ledger.enable(tenant, wanted), wanted)


async def rotate(runtime: Runtime, tenant: Tenant, wanted: SubscriptionId) -> Shown:
    """Give it a new secret; the one before signs beside it for a day, and any older one no more."""
    runtime.signer.check()
    return _shown(runtime, _found(await runtime.ledger.rotate(tenant, wanted), wanted))


async def rotate_callbacks(runtime: Runtime, tenant: Tenant) -> str:
    """Return a new secret for what goes to callback URLs; the one before, if it was shown, signs on for a day."""
    runtime.signer.check()
    generation = await runtime.ledger.rotate_callback_secret(tenant)
    return runtime.signer.secret(tenant, CALLBACKS, generation.number)


async def delete(runtime: Runtime, tenant: Tenant, wanted: SubscriptionId) -> None:
    """Forget a subscription, and cancel what still waits to be delivered.

    The deliveries that a crash half-way leaves, or that are too many for one call, end by themselves when their turn
    comes.
    """
    if not await runtime.ledger.unsubscribe(tenant, wanted):
        raise _unknown(wanted)
    for state in State:
        if state not in FINAL:
            page = await deliveries(runtime, tenant, wanted, None, _CANCELLED_AT_ONCE, state)
            for task in page.items:
                await cancel_orphan(runtime, tenant, task.id)


async def deliveries(
    runtime: Runtime,
    tenant: Tenant,
    wanted: SubscriptionId,
    cursor: str | None,
    limit: int,
    state: State | None = None,
) -> Page[Task]:
    """Return its deliveries, newest first."""
    narrowed = TaskFilter(status=state, type=DELIVER, tag=("subscription", wanted))
    return await read.page(runtime, tenant, narrowed, cursor, limit)


async def try_out(runtime: Runtime, intake: Intake, tenant: Tenant, wanted: SubscriptionId) -> Task:
    """Send it an event that means nothing, and return the delivery. Raises NotFound, or Conflict when disabled."""
    _check_enabled(await get(runtime, tenant, wanted))
    event_id = f"evt_{runtime.clock.task_id().replace('-', '')}_test"
    payload = event_payload(
        event_id, "subscription.test", runtime.clock.now(), {"message": "hello from AUREA"}, wanted, None
    )
    origin = Origin(tenant, always=True, own=True)
    return replace((await intake.submit(delivery_request(payload), origin)).task, payload=payload)


async def tell_since(runtime: Runtime, tenant: Tenant, wanted: SubscriptionId, since: datetime) -> tuple[int, int]:
    """Tell again what did not arrive since a moment, and what ended while it was disabled or not yet subscribed.

    Returns how many deliveries run again, and how many endings were looked at; of these, only what it has no delivery
    for is told. At most MOST_AGAIN of either, the newest. Raises NotFound, or Conflict when it is disabled.
    """
    _check_enabled(await get(runtime, tenant, wanted))
    noted = await runtime.ledger.announce_again(tenant, wanted, since, MOST_AGAIN)
    again = 0
    for state in (State.FAILED, State.CANCELLED):
        narrowed = TaskFilter(status=state, type=DELIVER, tag=("subscription", wanted), created_after=since)
        cursor: str | None = None
        while again < MOST_AGAIN:
            page = await read.page(runtime, tenant, narrowed, cursor, 200)
            again += await run_again(runtime, tenant, [task.id for task in page.items])
            cursor = page.next_cursor
            if cursor is None:
                break
    return again, noted


async def tell_again(runtime: Runtime, tenant: Tenant, wanted: SubscriptionId, ids: Sequence[TaskId]) -> int:
    """Run deliveries of it again, those that arrived too; return how many. Ids that are none of its are left alone."""
    _check_enabled(await get(runtime, tenant, wanted))
    found = [await runtime.ledger.read(tenant, task_id) for task_id in ids]
    its = [task.id for task in found if task and task.type == DELIVER and task.tags.get("subscription") == wanted]
    return await run_again(runtime, tenant, its)


def _shown(runtime: Runtime, subscription: Subscription) -> Shown:
    generation = subscription.generation.number
    return Shown(subscription, runtime.signer.secret(subscription.tenant, subscription.id, generation))


def _found(subscription: Subscription | None, wanted: SubscriptionId) -> Subscription:
    if subscription is None:
        raise _unknown(wanted)
    return subscription


def _unknown(wanted: SubscriptionId) -> AureaError:
    return NotFound(f"no subscription {wanted}")


def _check_enabled(subscription: Subscription) -> None:
    if subscription.disabled_at is not None:
        raise Conflict(f"the subscription is disabled ({subscription.disabled_reason}): enable it first")
