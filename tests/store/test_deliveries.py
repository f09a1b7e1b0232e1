"""Records of webhook deliveries: stored with their tasks, whichever way those come, each with the one that counts."""

from typing import Any

import asyncpg
import pytest

from orchestrator.domain.delivery import Arrival, DeliveryFilter, DeliveryView
from orchestrator.domain.ids import Tenant
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.task import NewTask
from orchestrator.ledger import outbox
from orchestrator.ledger.outbox import Record, apply
from orchestrator.ledger.postgres import Existing, Inserted, PostgresLedger
from tests.store.samples import CLOCK, TENANT, new_task

ARRIVAL = Arrival("pay", "evt_1", "charge.paid", "stripe", 1)


def delivered(arrival: Arrival = ARRIVAL, **given: Any) -> NewTask:
    return new_task(idempotency_key=arrival.key, arrival=arrival, **given)


def insert(task: NewTask) -> Record:
    return RecordKind.INSERT, task.id, outbox.inserted(task)


async def records(ledger: PostgresLedger, tenant: Tenant = TENANT) -> list[DeliveryView]:
    return await ledger.deliveries(tenant, DeliveryFilter(), None, 100)


async def test_a_task_and_its_record_are_stored_side_by_side_with_tasks_that_have_none(ledger: PostgresLedger) -> None:
    tasks = [new_task(), delivered(), new_task(idempotency_key="k"), delivered()]
    assert await ledger.insert(tasks) == [
        Inserted(),
        Inserted(),
        Inserted(),
        Existing(tasks[1].id, tasks[1].fingerprint),
    ]
    assert await ledger.insert(tasks) == [
        Inserted(),
        Inserted(),
        Inserted(),
        Existing(tasks[1].id, tasks[1].fingerprint),
    ]
    (record,) = await records(ledger)
    assert (record.id, record.task_id, record.received_at) == (tasks[1].id, tasks[1].id, tasks[1].created_at)
    assert (record.source, record.delivery_id, record.event, record.scheme, record.secret, record.times_seen) == (
        "pay", "evt_1", "charge.paid", "stripe", 1, 1
    )  # fmt: skip


async def test_a_record_from_the_outbox_is_the_same_and_may_come_twice(ledger: PostgresLedger) -> None:
    task = delivered()
    assert outbox.read_inserted(outbox.inserted(task)).arrival == ARRIVAL
    for _ in range(2):
        assert (await apply(ledger, [insert(new_task()), insert(task)])).refused == []
    (record,) = await records(ledger)
    await ledger.insert([delivered(tenant=Tenant("other"), created_at=task.created_at)])
    (other,) = await records(ledger, Tenant("other"))
    assert (record.task_id, record.times_seen) == (task.id, 1)
    assert (other.source, other.delivery_id, other.received_at) == (
        record.source,
        record.delivery_id,
        record.received_at,
    )


@pytest.mark.parametrize("order", ["row holder withdraw", "row withdraw holder", "holder row withdraw"])
@pytest.mark.parametrize("together", [False, True])
async def test_the_record_goes_over_to_the_task_that_was_accepted(
    ledger: PostgresLedger, order: str, together: bool
) -> None:
    """The row was written directly, though nobody knew; the other two are records."""
    row, holder = delivered(), delivered()
    acts = {
        "holder": insert(holder), "withdraw": (RecordKind.WITHDRAW, row.id, outbox.withdrawn(row.id, holder.id))
    }  # fmt: skip
    batch: list[Record] = []
    for act in order.split():
        if act == "row":
            await apply(ledger, batch)
            await ledger.insert([row])
            batch = []
        else:
            batch.append(acts[act])
            if not together:
                await apply(ledger, batch)
                batch = []
    await apply(ledger, batch)
    (record,) = await records(ledger)
    assert record.task_id == holder.id
    assert await ledger.see_delivery(TENANT, ARRIVAL, CLOCK.now()) == holder.id


async def test_two_tasks_of_one_delivery_whose_key_was_forgotten_leave_one_record(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    first, second, third = (delivered() for _ in range(3))
    await ledger.insert([first])
    answer = await apply(ledger, [insert(second), insert(third)])
    assert (answer.refused, [task_id for task_id, _ in answer.conflicts]) == ([], [second.id, third.id])
    assert [record.task_id for record in await records(ledger)] == [first.id]
    assert await pool.fetchval("select count(*) from orchestrator_tasks") == 3


async def test_two_of_one_delivery_may_be_stored_aside_in_one_statement(ledger: PostgresLedger) -> None:
    await ledger.insert([new_task(idempotency_key=ARRIVAL.key)])  # somebody's own task has their key
    first, second = delivered(), delivered()
    await ledger.insert_aside([first, second])
    assert [record.task_id for record in await records(ledger)] == [first.id]


async def test_a_record_whose_task_is_forgotten_goes_over_to_one_that_was_accepted_without_a_look_at_it(
    pool: asyncpg.Pool, ledger: PostgresLedger
) -> None:
    first, second = delivered(), delivered()
    await ledger.insert([first])
    await pool.execute("delete from orchestrator_tasks")
    assert (await apply(ledger, [insert(second)])).refused == []
    (record,) = await records(ledger)
    assert (record.id, record.task_id) == (first.id, second.id)


async def test_a_repeat_is_counted_for_its_tenant_and_source_alone(ledger: PostgresLedger) -> None:
    task = delivered()
    await ledger.insert([task])
    later = CLOCK.now()
    assert await ledger.see_delivery(TENANT, ARRIVAL, later) == task.id
    for tenant, arrival in (
        (Tenant("other"), ARRIVAL),
        (TENANT, Arrival("shop", "evt_1", "charge.paid", "stripe", 1)),
        (TENANT, Arrival("pay", "evt_2", "charge.paid", "stripe", 1)),
    ):
        assert await ledger.see_delivery(tenant, arrival, later) is None
    (record,) = await records(ledger)
    assert (record.times_seen, record.seen_at) == (2, later)
    assert await ledger.count_redelivery(Tenant("other"), record.id) is None
    assert await ledger.delivery(Tenant("other"), record.id) is None
    assert [await ledger.count_redelivery(TENANT, record.id) for _ in range(2)] == [1, 2]


async def test_the_wall_in_postgres_holds_alone(pool: asyncpg.Pool, ledger: PostgresLedger) -> None:
    await ledger.insert([delivered(), delivered(tenant=Tenant("other"))])
    async with pool.acquire() as connection, connection.transaction():
        acting = "select set_config('request.jwt.claims', $1, true), set_config('role', 'aurea_app', true)"
        await connection.execute(acting, '{"sub": "acme"}')
        rows = await connection.fetch("select tenant from orchestrator_deliveries")
        assert [row["tenant"] for row in rows] == ["acme"]
        assert (
            await connection.execute("update orchestrator_deliveries set event = 'x' where tenant = 'other'")
            == "UPDATE 0"
        )
