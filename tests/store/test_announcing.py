"""What is still to be told of endings: noted in the transaction that ends a task, whoever writes it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from orchestrator.domain.ids import Fence, Tenant
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.outcome import Expired, Succeeded
from orchestrator.domain.states import State
from orchestrator.domain.subscription import Callback, Subscription, SubscriptionId
from orchestrator.domain.task import NewTask
from orchestrator.ledger import outbox
from orchestrator.ledger.announcing import Disabled
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import BROKEN, CLOCK, TENANT, claim_of, crashed, ending_of, failed, new_task

URL = "https://example.com/hook"
OTHER = Tenant("other")

End = Callable[[PostgresLedger, NewTask, asyncpg.Pool], Awaitable[Any]]


async def settle(ledger: PostgresLedger, task: NewTask, outcome: Any = Succeeded(b'{"n":1}'), fence: int = 5) -> None:  # noqa: B008
    assert await ledger.settle([ending_of(claim_of(task, fence), outcome)]) == [True]


async def fail(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    await settle(ledger, task, failed())


async def poison(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    claim = claim_of(task, 4, 3, crashes=2)
    await ledger.start([claim])
    assert await ledger.settle([crashed(task, 5, 4, 3, crashes=2)]) == [True]


async def cancel(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    assert await ledger.cancel(task.tenant, task.id, Fence(5)) is not None


async def cancel_running(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    await ledger.start([claim_of(task, 4)])
    await cancel(ledger, task, pool)


async def expire(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    await pool.execute("update orchestrator_tasks set expires_at = now() - interval '1 s'")
    assert len(await ledger.expire(Fence(5), [task.id])) == 1


async def expire_at_claim(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    await settle(ledger, task, Expired())


async def relay(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    record = outbox.settled(ending_of(claim_of(task, 5)))
    assert (await outbox.apply(ledger, [(RecordKind.SETTLE, task.id, record)])).written == 1


async def by_hand(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    await pool.execute("update orchestrator_tasks set status = 'failed', fence = 5, finished_at = now()")


async def succeed(ledger: PostgresLedger, task: NewTask, pool: asyncpg.Pool) -> None:
    await settle(ledger, task)


ENDS: list[tuple[End, State]] = [
    (succeed, State.SUCCEEDED),
    (relay, State.SUCCEEDED),
    (fail, State.FAILED),
    (poison, State.FAILED),
    (by_hand, State.FAILED),
    (cancel, State.CANCELLED),
    (cancel_running, State.CANCELLED),
    (expire, State.EXPIRED),
    (expire_at_claim, State.EXPIRED),
]


async def subscribe(ledger: PostgresLedger, tenant: Tenant = TENANT, **wanted: Any) -> Subscription:
    made = await ledger.subscribe(
        tenant, SubscriptionId(CLOCK.task_id()), URL, wanted.get("types"), wanted.get("states"), ""
    )
    assert made is not None
    return made


async def notes(ledger: PostgresLedger) -> list[Callback]:
    return await ledger.callbacks(0, 100)


@pytest.mark.parametrize(("end", "state"), ENDS, ids=lambda value: getattr(value, "__name__", str(value)))
async def test_every_way_to_end_is_noted_for_all_who_are_to_be_told(
    end: End, state: State, ledger: PostgresLedger, pool: asyncpg.Pool
) -> None:
    task = new_task(callback_url=URL, tags={"team": "docs"})
    subscription = await subscribe(ledger)
    await subscribe(ledger, OTHER)
    await ledger.insert([task])
    await end(ledger, task, pool)
    found = await notes(ledger)
    assert {(note.subscription_id, note.url) for note in found} == {(None, URL), (subscription.id, None)}
    assert len({note.event_id for note in found}) == 1
    assert len({note.key for note in found}) == 2
    for note in found:
        assert (note.tenant, note.task_id, note.status, note.fence) == (TENANT, task.id, state, 5)
        told = orjson.loads(note.told)
        assert (told["id"], told["status"], told["tags"]) == (task.id, state, {"team": "docs"})
        assert "payload" not in told
        assert told["finished_at"].endswith("Z")


async def test_an_accepted_callback_url_comes_through_the_outbox(ledger: PostgresLedger) -> None:
    task = new_task(callback_url=URL)
    ending = outbox.settled(ending_of(claim_of(task, 5)))
    await outbox.apply(
        ledger, [(RecordKind.INSERT, task.id, outbox.inserted(task)), (RecordKind.SETTLE, task.id, ending)]
    )
    assert [note.url for note in await notes(ledger)] == [URL]


async def test_an_ending_that_is_written_twice_is_noted_once(ledger: PostgresLedger) -> None:
    task = new_task(callback_url=URL)
    await ledger.insert([task])
    await settle(ledger, task)
    await settle(ledger, task)
    assert len(await notes(ledger)) == 1


async def test_what_changes_of_a_task_that_has_ended_is_no_ending(ledger: PostgresLedger) -> None:
    """Its key is set free by the next task that has it."""
    over = CLOCK.now() - timedelta(seconds=1)
    first, second = (new_task(idempotency_key="k", key_expires_at=over, callback_url=URL) for _ in range(2))
    await ledger.insert([first])
    await settle(ledger, first)
    await ledger.forget_callbacks([note.id for note in await notes(ledger)])
    await subscribe(ledger)
    await ledger.insert([second])
    assert await notes(ledger) == []


async def test_what_is_not_final_is_not_noted(ledger: PostgresLedger) -> None:
    task = new_task(callback_url=URL)
    await subscribe(ledger)
    await ledger.insert([task])
    await ledger.start([claim_of(task, 4)])
    await settle(ledger, task, failed(BROKEN.__class__("HTTPError", "503", retryable=True, fingerprint="f")))
    assert await notes(ledger) == []


async def test_a_task_that_ends_again_is_another_event(ledger: PostgresLedger) -> None:
    task = new_task(callback_url=URL)
    await ledger.insert([task])
    await settle(ledger, task, failed())
    await ledger.reopen(TENANT, [task.id], Fence(7), [None], only_dead=True, from_step=None, start_over=False)
    await settle(ledger, task, fence=9)
    first, second = await notes(ledger)
    assert (first.status, second.status) == (State.FAILED, State.SUCCEEDED)
    assert first.key != second.key
    assert orjson.loads(first.told)["error"]["message"] == BROKEN.message  # as it was, though it is open again


async def test_a_row_that_is_taken_back_tells_nobody(ledger: PostgresLedger) -> None:
    task, holder = new_task(callback_url=URL), new_task()
    await subscribe(ledger)
    await ledger.insert([task, holder])
    await ledger.withdraw([(task.id, holder.id)])
    assert await notes(ledger) == []


async def test_a_delivery_does_not_announce_itself(ledger: PostgresLedger) -> None:
    await subscribe(ledger)
    task = new_task(type="webhook_deliver")
    await ledger.insert([task])
    await settle(ledger, task)
    assert await notes(ledger) == []


async def test_a_subscription_is_told_of_what_it_wants(ledger: PostgresLedger) -> None:
    by_type = await subscribe(ledger, types=["resize"])
    by_state = await subscribe(ledger, states=[State.FAILED, State.EXPIRED])
    both = await subscribe(ledger, types=["other"], states=[State.SUCCEEDED])
    done, broken, other = new_task(), new_task(), new_task(type="other")
    await ledger.insert([done, broken, other])
    await settle(ledger, done)
    await settle(ledger, broken, failed())
    await settle(ledger, other)
    told = {(note.task_id, note.subscription_id) for note in await notes(ledger)}
    assert told == {(done.id, by_type.id), (broken.id, by_type.id), (broken.id, by_state.id), (other.id, both.id)}


async def test_a_long_result_is_left_out_and_said_to_be(ledger: PostgresLedger) -> None:
    short, long = new_task(callback_url=URL), new_task(callback_url=URL)
    await ledger.insert([short, long])
    await settle(ledger, short, Succeeded(b'"' + b"x" * 16_000 + b'"'))
    await settle(ledger, long, Succeeded(b'"' + b"x" * 17_000 + b'"'))
    one, other = await notes(ledger)
    assert (len(one.result or b""), orjson.loads(one.told)["result_omitted"]) == (16_002, False)
    assert (other.result, orjson.loads(other.told)["result_omitted"]) == (None, True)


async def test_one_tenant_cannot_note_or_read_for_another(ledger: PostgresLedger, pool: asyncpg.Pool) -> None:
    """As the role that cannot pass the walls, the trigger sees the tenant's own subscriptions alone."""
    mine, theirs = await subscribe(ledger), await subscribe(ledger, OTHER)
    task = new_task(callback_url=URL)
    await ledger.insert([task])
    async with pool.acquire() as connection, connection.transaction():
        claims = orjson.dumps({"sub": TENANT}).decode()
        await connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
        await connection.execute("set local role aurea_app")
        await connection.execute("update orchestrator_tasks set status = 'cancelled', fence = 5")
        seen = await connection.fetch("select id::text from orchestrator_subscriptions")
    assert [row["id"] for row in seen] == [mine.id]
    assert {note.subscription_id for note in await notes(ledger)} == {None, mine.id}
    assert await ledger.subscription(TENANT, theirs.id) is None


async def deliver(ledger: PostgresLedger, subscription: Subscription, outcome: Any) -> Subscription:
    """Have a delivery end, and return the subscription after it."""
    task = new_task(type="webhook_deliver", tags={"subscription": subscription.id})
    await ledger.insert([task])
    await settle(ledger, task, outcome)
    found = await ledger.subscription(TENANT, subscription.id)
    assert found is not None
    return found


def given_up(kind: str = "Retry") -> Any:
    return failed(BROKEN.__class__(kind, "no", retryable=False, fingerprint="f"))


async def test_410_disables_with_the_settlement_and_is_reported_once(ledger: PostgresLedger) -> None:
    subscription = await subscribe(ledger)
    after = await deliver(ledger, subscription, given_up("EndpointGone"))
    assert after.disabled_at is not None
    assert after.disabled_reason == "the endpoint answered 410 Gone"
    assert await ledger.unreported() == [Disabled(subscription.id, TENANT, "the endpoint answered 410 Gone")]
    assert await ledger.unreported() == []
    task = new_task()
    await ledger.insert([task])
    await settle(ledger, task)
    assert await notes(ledger) == []


async def test_the_tenth_in_a_row_that_was_given_up_disables(ledger: PostgresLedger) -> None:
    subscription = await subscribe(ledger)
    for _ in range(9):
        assert (await deliver(ledger, subscription, given_up())).disabled_at is None
    assert (await deliver(ledger, subscription, Succeeded(b"1"))).failures == 0
    for count in range(1, 10):
        assert (await deliver(ledger, subscription, given_up())).failures == count
    after = await deliver(ledger, subscription, given_up())
    assert (after.failures, after.disabled_reason) == (10, "10 deliveries in a row were given up")
    enabled = await ledger.enable(TENANT, subscription.id)
    assert enabled is not None
    assert (enabled.failures, enabled.disabled_at, enabled.disabled_reason) == (0, None, None)
    assert await ledger.unreported() == []


async def test_what_was_not_sent_says_nothing_about_the_endpoint(ledger: PostgresLedger) -> None:
    subscription = await subscribe(ledger)
    assert (await deliver(ledger, subscription, given_up("EndpointClosed"))).failures == 0


async def test_what_ended_meanwhile_can_be_announced_again(ledger: PostgresLedger) -> None:
    early, late, theirs, open_ = new_task(), new_task(), new_task(tenant=OTHER), new_task()
    await ledger.insert([early, late, theirs, open_])
    for task in (early, late, theirs):
        await settle(ledger, task)
    subscription = await subscribe(ledger, types=["resize"])
    assert await ledger.announce_again(TENANT, subscription.id, CLOCK.now() + timedelta(hours=1), 10) == 0
    assert await ledger.announce_again(OTHER, subscription.id, CLOCK.now() - timedelta(days=1000), 10) == 0
    assert await ledger.announce_again(TENANT, subscription.id, CLOCK.now() - timedelta(days=1000), 1) == 1
    assert [note.task_id for note in await notes(ledger)] == [late.id]
    assert await ledger.announce_again(TENANT, subscription.id, CLOCK.now() - timedelta(days=1000), 10) == 2


async def test_deleting_a_subscription_takes_its_notes_along(ledger: PostgresLedger) -> None:
    subscription, task = await subscribe(ledger), new_task(callback_url=URL)
    await ledger.insert([task])
    await settle(ledger, task)
    assert await ledger.unsubscribe(OTHER, subscription.id) is False
    assert len(await notes(ledger)) == 2
    assert await ledger.unsubscribe(TENANT, subscription.id) is True
    assert [note.url for note in await notes(ledger)] == [URL]
