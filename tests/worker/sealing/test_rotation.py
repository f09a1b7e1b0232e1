"""Master keys are rotated beside a running system: nothing is lost, and in the end the old key opens nothing."""

import asyncio

import asyncpg
import pytest

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.ids import DEFAULT_TENANT, LOWEST_ID, TaskId
from orchestrator.domain.states import State
from orchestrator.ledger.resealing import Wanted
from orchestrator.operations.announce import Passed, announce
from orchestrator.operations.replay import retry
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.reseal import Walk, reseal
from orchestrator.operations.submit import Receipt
from orchestrator.runtime import Runtime
from orchestrator.vault.vault import SEALED_MARK
from tests.worker.sealing.house import CANARY, K1, K2, OFF, SECRET, read_it, sealing_house, tables, told

LAST = TaskId("ffffffff-ffff-ffff-ffff-ffffffffffff")
NEWER, NEWEST = {"aurea_encryption_keys": f"{K2},{K1}"}, {"aurea_encryption_keys": K2}


async def walked(runtime: Runtime) -> Walk:
    return [walk async for walk in reseal(runtime)][-1]


async def test_everything_stands_under_the_new_key_and_the_old_one_may_go(
    database_url: str, redis_url: str, database: asyncpg.Connection
) -> None:
    async with sealing_house(database_url, redis_url) as old, old.worker(), old.scheduler():
        ended = await old.submit("confide", SECRET | {"fails": 1}, idempotency_key="once")
        failed = await old.submit("blurt", SECRET)
        for task in (ended, failed):
            await old.story(task)
        await old.runtime.queue.pause("later")
        later = [await old.submit("parrot", f"{CANARY} {n}", queue="later") for n in range(5)]
        due = await old.submit("parrot", CANARY, delay_seconds=3600)
    async with sealing_house(database_url, redis_url) as old:
        queued = [await old.submit("parrot", f"{CANARY} {n}") for n in range(20)]
    async with sealing_house(database_url, redis_url, **NEWER) as new, new.worker():  # tasks run meanwhile
        first, second, *_ = await asyncio.gather(walked(new.runtime), walked(new.runtime), *map(new.story, queued))
        assert first.sealed + second.sealed >= 40
        assert (first.left, second.left) == (0, 0)
        assert (await walked(new.runtime)).sealed == 0
    assert "aurea:sealed:1:k1:" not in await tables(database)
    async with sealing_house(database_url, redis_url, **NEWEST) as new, new.worker(), new.scheduler():
        held = await new.runtime.queue.values([task.id for task in later])
        assert [value.value[:19] for value in held] == [b'"aurea:sealed:1:k2:'] * 5
        await new.runtime.queue.resume("later")
        for number, task in enumerate(later):
            await new.story(task)
            assert (await read_it(new, task)).result == f"{CANARY} {number}"
        assert (await read_it(new, ended)).result == {"kept": CANARY, "child": CANARY}
        assert ((await read_it(new, failed)).error or {})["message"] == f"cannot keep {CANARY}"
        assert (await read_it(new, due)).payload == CANARY
        repeat = await new.receive("confide", SECRET | {"fails": 1}, idempotency_key="once")
        assert (repeat.replayed, repeat.task.id) == (True, ended.id)
        await retry(new.runtime, DEFAULT_TENANT, ended.id)
        assert (await new.ended(ended)).status is State.SUCCEEDED  # and its steps answered


async def test_what_was_plain_is_sealed_once_its_tenant_is_encrypted_and_readable_all_the_time(
    database_url: str, redis_url: str, database: asyncpg.Connection
) -> None:
    async with sealing_house(database_url, redis_url, **OFF) as plain, plain.worker(), plain.scheduler():
        task = await plain.submit("confide", SECRET, idempotency_key="once")
        await plain.story(task)
        with pytest.raises(NotConfigured, match="AUREA_ENCRYPTION_KEYS"):
            await walked(plain.runtime)
    async with sealing_house(database_url, redis_url) as sealing:
        assert (await read_it(sealing, task)).result["child"] == CANARY
        assert (await walked(sealing.runtime)).left == 0
        assert CANARY not in await tables(database)
        assert (await read_it(sealing, task)).result["child"] == CANARY
        assert (await sealing.receive("confide", SECRET, idempotency_key="once")).replayed
    async with sealing_house(database_url, redis_url, aurea_encrypt_tenants="") as again:  # switched off
        assert (await read_it(again, task)).result["child"] == CANARY


async def test_what_cannot_be_opened_is_left_counted_and_named(database_url: str, redis_url: str) -> None:
    async with sealing_house(database_url, redis_url) as old:
        await old.submit("parrot", CANARY, idempotency_key="once")
    async with sealing_house(database_url, redis_url, **NEWEST) as new:
        await new.submit("parrot", CANARY)
        walk = await walked(new.runtime)
        assert (walk.sealed, walk.left) == (0, 3)  # the payload in each store, and the fingerprint
        assert ["'k1'" in problem for problem in walk.problems] == [True]
    async with sealing_house(database_url, redis_url, **NEWER) as mended:
        assert (await walked(mended.runtime)).left == 0


async def test_a_task_that_goes_back_to_the_queue_goes_there_under_the_newest_key(
    database_url: str, redis_url: str
) -> None:
    async with sealing_house(database_url, redis_url) as old:
        task = await old.submit("confide", SECRET | {"fails": 1})
    async with sealing_house(database_url, redis_url, **NEWER) as new:
        async with new.runtime.subscriptions.watch(task.id) as watch, new.worker():
            await told(watch, State.RETRYING)
        (kept, *_) = await new.runtime.queue.values([task.id])
        assert kept.value.startswith(b'"aurea:sealed:1:k2:')


async def test_records_in_the_outbox_are_told_of(database_url: str, redis_url: str) -> None:
    async with sealing_house(database_url, redis_url) as house:
        house.runtime.standby.postgres.away = house.runtime.standby.postgres.silent = True
        await house.submit("parrot", CANARY)
        assert (await walked(house.runtime)).waiting == 1


@pytest.mark.parametrize("kind", ["parrot", "blurt"])
async def test_endings_that_are_still_to_be_told_are_told_of(
    database_url: str, redis_url: str, database: asyncpg.Connection, kind: str
) -> None:
    signing = {"aurea_signing_secrets": ("m" * 40,)}
    async with sealing_house(database_url, redis_url, **signing) as old, old.worker():
        await old.ended(await old.submit(kind, SECRET, callback_url="https://example.com/hook"))
    async with sealing_house(database_url, redis_url, **NEWER) as new:
        walk = await walked(new.runtime)
        assert (walk.left, walk.untold) == (0, 1)
        await announce(new.runtime, Passed())
        walk = await walked(new.runtime)
        assert (walk.left, walk.untold) == (0, 0)
    assert "aurea:sealed:1:k1:" not in await tables(database)


async def test_what_somebody_writes_meanwhile_is_not_undone(
    database_url: str, redis_url: str, database: asyncpg.Connection
) -> None:
    async with sealing_house(database_url, redis_url, **OFF) as house, house.worker(), house.scheduler():
        task = await house.submit("confide", SECRET | {"fails": 1}, idempotency_key="once")
        await house.story(task)
        ledger = house.runtime.ledger
        wanted = Wanted(SEALED_MARK, f"{SEALED_MARK}k1:", b"k1:", ["*"])
        found = await ledger.stale(LOWEST_ID, LAST, 100, wanted)
        prints = await ledger.stale_fingerprints(LOWEST_ID, LAST, wanted)
        assert {stale.place for stale in found} == {"payload", "result", "progress", "run", "step", "event"}
        columns = (
            ("tasks", "payload"),
            ("tasks", "result"),
            ("tasks", "progress"),
            ("steps", "result"),
            ("events", "data"),
        )
        for table, column in columns:
            await database.execute(f"update orchestrator_{table} set {column} = '7' where {column} is not null")
        await database.execute("update orchestrator_runs set error = jsonb_set(error, '{message}', '7')")
        await database.execute("update orchestrator_tasks set fingerprint = '7'")
        before = sorted((await tables(database)).splitlines())
        await ledger.reseal([(stale, b'"lost"') for stale in found])
        await ledger.reseal_fingerprints([(stale, b"lost") for stale in prints])
        assert sorted((await tables(database)).splitlines()) == before


async def test_a_walk_that_is_interrupted_is_taken_up_again(database_url: str, redis_url: str) -> None:
    async with sealing_house(database_url, redis_url) as old:
        for receipt in await old.intake.submit_many(
            [TaskRequest(type="parrot", payload=CANARY)] * 450, Origin(DEFAULT_TENANT)
        ):
            assert isinstance(receipt, Receipt)
    async with sealing_house(database_url, redis_url, **NEWER) as new:
        first = await anext(reseal(new.runtime))
        assert (first.sealed, first.left) == (200, 0)
        rest = await walked(new.runtime)
        assert (rest.sealed, rest.left) == (250 + 450, 0)  # and the copies in Redis
