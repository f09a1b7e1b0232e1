"""Sealed values when something is amiss: stores away, keys missing, rows that somebody changed."""

import asyncpg
import orjson
import pytest

from orchestrator.domain.errors import SealBroken, SealKeyMissing
from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import DEFAULT_TENANT, Tenant
from orchestrator.domain.states import State
from orchestrator.operations import read, replay
from orchestrator.operations.cancel import cancel
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.worker import executor
from tests.worker.conftest import House
from tests.worker.sealing.house import CANARY, K2, OFF, SECRET, keys, read_it, sealing_house, tables, told
from tests.worker.test_rebuild import empty, rebuild


async def test_without_postgres_the_outbox_holds_sealed_values_and_the_relay_brings_them(
    house: House, database: asyncpg.Connection
) -> None:
    postgres = house.runtime.standby.postgres
    postgres.away = postgres.silent = True
    task = await house.submit("whisper", SECRET, idempotency_key="w-1")
    async with house.runtime.subscriptions.watch(task.id) as watch, house.worker():
        await told(watch, State.SUCCEEDED)
    recalled = await read_it(house, task)
    assert orjson.loads(orjson.dumps([recalled.result, recalled.payload])) == [CANARY, SECRET]
    assert await house.runtime.queue.outbox_depth() >= 4
    held = await keys(house.redis_url)
    assert "aurea:sealed:1:k1:" in held
    assert CANARY not in held
    assert (await house.receive("whisper", SECRET, idempotency_key="w-1")).replayed
    async with house.scheduler():
        ended = await house.ended(task)
    postgres.away = postgres.silent = False
    assert CANARY not in await tables(database)
    assert (await read_it(house, task)).result == CANARY
    assert ended.status is State.SUCCEEDED


async def test_an_isolated_worker_needs_the_keys_alone(
    house: House, database_url: str, redis_url: str, database: asyncpg.Connection
) -> None:
    task = await house.submit("whisper", SECRET)
    alone = sealing_house(database_url, redis_url, isolated=True, aurea_encrypt_tenants="")
    async with house.scheduler(), alone as other, other.worker():
        ended = await house.ended(task)
    assert ended.status is State.SUCCEEDED
    assert (await read_it(house, task)).result == CANARY
    assert CANARY not in await tables(database)
    assert CANARY not in await keys(redis_url)


async def test_a_flushed_redis_is_rebuilt_with_sealed_payloads(house: House) -> None:
    task = await house.submit("parrot", CANARY)
    await empty(house)
    assert await rebuild(house) == 1
    assert CANARY not in await keys(house.redis_url)
    async with house.worker():
        await house.story(task)
    assert (await read_it(house, task)).result == CANARY


async def test_a_worker_without_the_key_gives_the_task_back_and_one_that_has_it_runs_it(
    house: House, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "KEY_MISSING_RETRY_SECONDS", 0.01)
    task = await house.submit("parrot", CANARY)
    async with sealing_house(database_url, redis_url, **OFF) as poor, house.scheduler():
        async with poor.runtime.subscriptions.watch(task.id) as watch, poor.worker(name="poor"):
            await told(watch, State.RETRYING)
        with pytest.raises(SealKeyMissing):
            await read_it(poor, task)
        waiting = await read_it(house, task)
        assert (waiting.error or {})["type"] == "seal_key_missing"
        assert "'k1'" in (waiting.error or {})["message"]
        assert waiting.attempt == 0
        async with house.worker():
            ended = await house.ended(task)
    assert (ended.status, ended.attempt) == (State.SUCCEEDED, 1)
    assert (await read_it(house, task)).result == CANARY


async def test_without_the_key_lists_and_cancellations_go_on_and_say_what_is_missing(
    house: House, database_url: str, redis_url: str
) -> None:
    task = await house.submit("parrot", CANARY)
    async with sealing_house(database_url, redis_url, aurea_encryption_keys=K2) as other:
        with pytest.raises(SealKeyMissing, match="AUREA_ENCRYPTION_KEYS"):
            await read_it(other, task)
        new = await other.submit("parrot", "readable")
        listed = (await read.page(other.runtime, DEFAULT_TENANT, TaskFilter(), None, 9)).items
        assert [one.id for one in listed] == [new.id, task.id]
        assert listed[0].payload == "readable"
        assert "'k1'" in listed[1].payload["unreadable"]
        cancelled = await cancel(other.runtime, DEFAULT_TENANT, task.id)
        assert cancelled.status is State.CANCELLED
        assert "'k1'" in cancelled.payload["unreadable"]


@pytest.mark.parametrize("tenant", [DEFAULT_TENANT, Tenant("other")])
async def test_payloads_that_were_swapped_are_refused_by_readers_and_workers(
    house: House, database: asyncpg.Connection, tenant: Tenant
) -> None:
    mine = await house.submit("parrot", CANARY)
    theirs = (await house.intake.submit(TaskRequest(type="parrot", payload=CANARY * 2), Origin(tenant))).task
    await database.execute(
        "update orchestrator_tasks t set payload = o.payload from orchestrator_tasks o where o.id <> t.id"
    )
    await empty(house)
    assert await rebuild(house) == 2
    with pytest.raises(SealBroken):
        await read.get(house.runtime, tenant, theirs.id)
    async with house.worker():
        await house.story(mine)
    rows = await database.fetch("select status::text, error ->> 'type' as error, result from orchestrator_tasks")
    assert {(row["status"], row["error"], row["result"]) for row in rows} == {("failed", "seal_broken", None)}


async def test_a_result_that_stands_as_another_step_is_refused(house: House, database: asyncpg.Connection) -> None:
    task = await house.submit("confide", SECRET | {"fails": 1}, max_retries=0)
    async with house.worker():
        await house.story(task)
        other = await house.submit("whisper", SECRET)
        await house.story(other)
        await database.execute(
            "update orchestrator_steps s set result = o.result from orchestrator_steps o"
            " where s.name = 'remember' and o.name = 'whispered'"
        )
        with pytest.raises(SealBroken):
            await read.steps(house.runtime, DEFAULT_TENANT, task.id)
        await replay.retry(house.runtime, DEFAULT_TENANT, task.id)
        ended = await house.ended(task)
    assert (ended.status, (ended.error or {})["type"]) == (State.FAILED, "SealBroken")
