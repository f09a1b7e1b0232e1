"""Tenants that are encrypted: handlers and callers see their values, stores and logs never do."""

import asyncpg
import orjson
import pytest
import redis.asyncio

from orchestrator.domain.errors import KeyConflict
from orchestrator.domain.events import EventKind
from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import DEFAULT_TENANT, Tenant
from orchestrator.domain.states import State
from orchestrator.operations import read, replay
from orchestrator.operations.request import Origin, TaskRequest
from tests.worker.conftest import House
from tests.worker.sealing.house import CANARY, K1, K2, OFF, SECRET, keys, read_it, sealing_house, tables


async def test_handlers_and_callers_see_it_and_no_store_and_no_log_does(
    house: House, database: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime = house.runtime
    task = await house.submit("confide", {**SECRET, "fails": 1}, idempotency_key="c-1", max_retries=2)
    assert CANARY.encode() in orjson.dumps(task.payload)
    queued = await keys(house.redis_url)
    async with redis.asyncio.Redis.from_url(house.redis_url) as client, client.pubsub() as ears:
        await ears.psubscribe("*")
        async with house.scheduler(), house.worker():
            story = await house.story(task)
        heard = []
        while (message := await ears.get_message(timeout=0)) is not None:
            heard.append(message)
    assert len(heard) > 5
    for place in (queued, await tables(database), await keys(house.redis_url), str(heard), *capfd.readouterr()):
        assert CANARY not in place
    assert "aurea:sealed:1:k1:" in str(heard)

    ended = await read_it(house, task)
    assert ended.payload["secret"] == CANARY
    assert ended.result == {"kept": CANARY, "child": CANARY}
    assert ended.progress == {"fraction": 0.5, "text": CANARY}
    told = {event.kind: event.data for event in story}
    assert told[EventKind.RESULT] == ended.result
    assert told[EventKind.TOKEN] == {"text": CANARY}
    assert told[EventKind.PROGRESS] == {"fraction": 0.5, "text": CANARY}
    logs = await read.events(runtime, DEFAULT_TENANT, task.id, -1, 100, [EventKind.LOG])
    assert [CANARY in log.data["text"] for log in logs] == [True, True, True, True]
    steps = {step.name: step.result for step in await read.steps(runtime, DEFAULT_TENANT, task.id)}
    assert CANARY in steps.values()
    assert steps["remember"] == {"kept": CANARY}
    first, *_ = await read.runs(runtime, DEFAULT_TENANT, task.id)
    assert first.error is not None
    assert first.error["message"] == f"cannot keep {CANARY}"
    assert (await read.page(runtime, DEFAULT_TENANT, TaskFilter(), None, 9)).items[-1].result == ended.result


async def test_dead_letters_show_why_and_run_again_from_their_steps(house: House, database: asyncpg.Connection) -> None:
    task = await house.submit("blurt", SECRET)
    async with house.worker():
        await house.story(task)
        assert CANARY not in await tables(database)
        (group,) = await read.dead_groups(house.runtime, DEFAULT_TENANT)
        assert group.message == f"cannot keep {CANARY}"
        reopened = await replay.retry(house.runtime, DEFAULT_TENANT, task.id)
        assert reopened.payload["secret"] == CANARY
        events = await house.story(task)
    assert events[-1].data["error"]["message"] == f"cannot keep {CANARY}"


async def test_a_handler_in_a_process_of_its_own_sees_it_too(house: House, database: asyncpg.Connection) -> None:
    task = await house.submit("whisper_apart", SECRET)
    async with house.worker():
        assert (await house.story(task))[-2].data == CANARY
    assert CANARY not in await tables(database)


async def test_a_text_that_looks_sealed_is_the_callers_own_with_and_without_keys(
    database_url: str, redis_url: str
) -> None:
    for given in ({}, OFF):
        async with sealing_house(database_url, redis_url, **given) as house, house.worker():
            for text in ("aurea:sealed:1:k1:AAAA", "aurea:sealed:0:x", "aurea:sealed:"):
                task = await house.submit("parrot", text)
                await house.story(task)
                ended = await read_it(house, task)
                assert (ended.payload, ended.result, ended.status) == (text, text, State.SUCCEEDED)


async def test_a_tenant_that_is_not_listed_is_stored_as_it_is(
    database_url: str, redis_url: str, database: asyncpg.Connection
) -> None:
    async with sealing_house(database_url, redis_url, aurea_encrypt_tenants="acme") as house:
        for tenant in (DEFAULT_TENANT, Tenant("acme")):
            await house.intake.submit(TaskRequest(type="parrot", payload=CANARY), Origin(tenant))
    rows = dict(await database.fetch("select tenant, payload::text from orchestrator_tasks"))
    assert rows[DEFAULT_TENANT] == f'"{CANARY}"'
    assert rows["acme"].startswith('"aurea:sealed:1:k1:')


async def test_a_worker_that_was_not_told_who_is_encrypted_seals_what_came_sealed(
    house: House, database_url: str, redis_url: str, database: asyncpg.Connection
) -> None:
    task = await house.submit("confide", SECRET)
    async with sealing_house(database_url, redis_url, aurea_encrypt_tenants="") as other, other.worker():
        await house.story(task)
    assert (await read_it(house, task)).result["child"] == CANARY
    assert CANARY not in await tables(database)


async def test_the_same_key_and_body_are_one_task_also_when_the_key_was_rotated_or_encryption_switched(
    database_url: str, redis_url: str
) -> None:
    first = None
    for given in (OFF, {}, {"aurea_encryption_keys": f"{K2},{K1}"}, OFF | {"aurea_encryption_keys": K1}):
        async with sealing_house(database_url, redis_url, **given) as house:
            receipt = await house.receive("parrot", CANARY, idempotency_key="once")
            first = first or receipt.task.id
            assert receipt.task.id == first
            with pytest.raises(KeyConflict):
                await house.receive("parrot", "another", idempotency_key="once")
