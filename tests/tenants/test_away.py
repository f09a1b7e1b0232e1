"""Redis answers for Postgres while that is away, or has not been told yet: the wall stands there, too."""

import pytest

from orchestrator.ledger.database import Database
from tests.tenants.cases import CASES
from tests.tenants.matrix import learned, named, twinned
from tests.tenants.world import CANARY, MINE, THEIRS, World


async def accepted_by_redis(world: World) -> None:
    """Their newest task is in the outbox alone, and Postgres does not answer."""
    ledger, postgres = world.door.runtime.ledger, world.door.runtime.standby.postgres
    ledger._database = ledger._unhurried = Database(None)
    postgres.away = postgres.silent = True
    answer = await world.ask(THEIRS, "POST", "/tasks", json={"type": "greet", "payload": {"text": CANARY}})
    assert (answer.status_code, answer.json()["durability"]) == (201, "memory")
    world.theirs["outbox"] = answer.json()["id"]
    assert (await world.ask(THEIRS, "GET", f"/tasks/{world.theirs['outbox']}")).status_code == 200


@pytest.mark.parametrize("back", [False, True], ids=["away", "back, and not told yet"])
async def test_what_only_redis_knows_is_its_tenants(world: World, back: bool) -> None:
    directly = world.door.runtime.ledger._database
    await accepted_by_redis(world)
    if back:
        world.door.runtime.ledger._database = world.door.runtime.ledger._unhurried = directly
        world.door.runtime.standby.postgres.silent = False
    for operation in ("tasks_show", "tasks_why", "tasks_runs", "stream_follow", "tasks_cancel", "tasks_retry"):
        for case in CASES[operation]:
            got = await learned(world, operation, case, named(world, "outbox"))
            assert got == await learned(world, operation, case, twinned(world, "outbox"))
            assert CANARY not in got


async def test_a_key_that_redis_remembers_is_its_tenants(world: World) -> None:
    await accepted_by_redis(world)
    asked = {"type": "greet", "payload": {"text": CANARY}, "idempotency_key": "both"}
    theirs = await world.ask(THEIRS, "POST", "/tasks", json=asked)
    mine = await world.ask(MINE, "POST", "/tasks", json=asked)
    assert (theirs.status_code, mine.status_code) == (201, 201)
    assert theirs.json()["id"] != mine.json()["id"]
    assert (await world.ask(MINE, "POST", "/tasks", json={**asked, "priority": 1})).status_code == 422


async def test_workers_name_no_task_while_nobody_knows_whose_it_is(world: World) -> None:
    shown = await world.ask(MINE, "GET", "/workers")
    assert [worker["running"] for worker in shown.json()["items"]] == [[world.mine["running"]]]
    await accepted_by_redis(world)
    shown = await world.ask(MINE, "GET", "/workers")
    assert [worker["running"] for worker in shown.json()["items"]] == [[]]
