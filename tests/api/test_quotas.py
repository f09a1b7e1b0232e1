"""What a tenant may create: exact however many ask at once, through lost memory, absent stores and the end of a day."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from orchestrator.domain.ids import DEFAULT_TENANT, TaskId, Tenant, task_id
from orchestrator.domain.profile import Bounds
from orchestrator.operations import profile
from orchestrator.operations.announce import Passed, announce
from orchestrator.operations.cancel import cancel
from orchestrator.operations.ceiling import recount_waiting
from orchestrator.operations.profile import learn
from orchestrator.operations.request import Origin, TaskRequest
from tests.api.door import Door, claim, configured, open_door

ACME = {"Aurea-Tenant": "acme"}


async def limit(door: Door, tenant: str = "default", **limits: Any) -> None:
    answer = await door.http.put(f"/tenants/{tenant}", json=limits)
    assert answer.status_code == 200, answer.text


async def post(door: Door, count: int, **fields: Any) -> list[httpx2.Response]:
    headers = fields.pop("headers", {})
    sending = (door.http.post("/tasks", json={"type": "greet", **fields}, headers=headers) for _ in range(count))
    return await asyncio.gather(*sending)


def codes(answers: list[httpx2.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


@pytest.fixture
async def doors(database_url: str, redis_url: str) -> AsyncIterator[list[Door]]:
    """Two processes' worth of the application, on the same stores."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_door(database_url, redis_url)) for _ in range(2)]


async def together(doors: list[Door], count: int, **fields: Any) -> list[httpx2.Response]:
    for door in doors:
        await learn(door.runtime)
    halves = await asyncio.gather(*(post(door, count // 2, **fields) for door in doors))
    return [answer for half in halves for answer in half]


@pytest.mark.parametrize("limits", [
    {"tasks_per_day": 100}, {"queued": 100}, {"types": {"greet": {"tasks_per_day": 100}}},
    {"types": {"greet": {"queued": 100}}},
], ids=str)  # fmt: skip
async def test_of_200_at_once_over_two_processes_exactly_100_pass(doors: list[Door], limits: dict[str, Any]) -> None:
    await limit(doors[0], **limits)
    answers = await together(doors, 200)
    assert codes(answers) == {201: 100, 429: 100}
    assert await doors[0].database.fetchval("select count(*) from orchestrator_tasks") == 100
    (refused, *_) = [answer for answer in answers if answer.status_code == 429]
    problem = refused.json()
    own = limits.get("types", {}).get("greet", limits)
    assert (problem["code"], problem["limit"], problem["most"]) == ("quota_exceeded", next(iter(own)), 100)
    assert problem["task_type"] == ("greet" if "types" in limits else None)
    assert int(refused.headers["retry-after"]) == problem["retry_after_seconds"] > 0


@pytest.mark.parametrize("name", ["tasks_per_day", "queued"])
async def test_one_key_takes_one_place_however_often_it_is_asked_for_at_once(doors: list[Door], name: str) -> None:
    await limit(doors[0], **{name: 10})
    await learn(doors[0].runtime)
    asked = [{"type": "greet", "idempotency_key": f"k{max(0, number - 29)}"} for number in range(39)]
    answer = await doors[0].http.post("/tasks/batch", json={"tasks": asked})
    assert Counter(item["status_code"] for item in answer.json()["items"]) == {201: 10, 200: 29}
    full = await doors[0].http.post("/tasks/batch", json={"tasks": [{"type": "greet", "idempotency_key": "new"}] * 2})
    assert [item["status_code"] for item in full.json()["items"]] == [429, 429]


@pytest.mark.parametrize("name", ["tasks_per_day", "queued"])
async def test_what_was_made_while_no_limit_was_set_counts_once_one_is(doors: list[Door], name: str) -> None:
    await limit(doors[0], **{name: 1})
    assert codes(await together(doors, 2)) == {201: 1, 429: 1}
    await limit(doors[0])
    assert codes(await together(doors, 4)) == {201: 4}
    await limit(doors[0], **{name: 7})
    assert codes(await together(doors, 10)) == {201: 2, 429: 8}


async def test_repeats_of_what_is_being_made_are_not_refused(doors: list[Door]) -> None:
    await limit(doors[0], tasks_per_day=10)
    for door in doors:
        await learn(door.runtime)
    sent = [
        door.http.post("/tasks", json={"type": "greet", "idempotency_key": f"k{number % 10}"})
        for number in range(50)
        for door in doors
    ]
    assert codes(list(await asyncio.gather(*sent))) == {201: 10, 200: 90}


@pytest.mark.parametrize("name", ["tasks_per_day", "queued"])
async def test_an_emptied_redis_counts_anew_what_postgres_has(doors: list[Door], redis_admin: Any, name: str) -> None:
    await limit(doors[0], **{name: 100})
    assert codes(await together(doors, 60)) == {201: 60}
    redis_admin.flushall()
    assert codes(await together(doors, 140)) == {201: 40, 429: 100}


async def test_other_tenants_and_types_have_places_of_their_own(door: Door) -> None:
    await limit(door, "acme", tasks_per_day=1)
    await limit(door, types={"http_request": {"queued": 0}})
    assert codes(await post(door, 3, headers=ACME)) == {201: 1, 429: 2}
    assert codes(await post(door, 5)) == {201: 5}
    assert codes(await post(door, 1, type="http_request", payload={"url": "https://example.com/"})) == {429: 1}


async def test_of_a_batch_each_is_judged_by_itself(door: Door) -> None:
    await limit(door, types={"greet": {"tasks_per_day": 2}})
    request = {"type": "http_request", "payload": {"url": "https://example.com/"}}
    batch = {"tasks": [{"type": "greet"}, {"type": "nothing"}, {"type": "greet"}, {"type": "greet"}, request]}
    items = (await door.http.post("/tasks/batch", json=batch)).json()["items"]
    assert [item["status_code"] for item in items] == [201, 422, 201, 429, 201]
    assert items[3]["problem"]["retry_after_seconds"] > 0


async def test_a_repeat_takes_no_place_and_is_answered_when_there_is_none(door: Door) -> None:
    await limit(door, tasks_per_day=2, queued=2)
    first = (await post(door, 1, idempotency_key="a"))[0].json()["id"]
    repeats = await post(door, 5, idempotency_key="a")
    assert codes(repeats) == {200: 5}
    assert codes(await post(door, 2)) == {201: 1, 429: 1}
    full = await post(door, 3, idempotency_key="a")
    assert [answer.json()["id"] for answer in full] == [first] * 3
    assert codes(await post(door, 1, idempotency_key="a", priority=1)) == {422: 1}


async def test_a_place_in_the_queue_is_free_again_when_a_task_begins_or_is_cancelled(door: Door) -> None:
    await limit(door, queued=2)
    await door.submit(delay_seconds=60)
    waiting = await door.submit()
    assert codes(await post(door, 1)) == {429: 1}
    await claim(door.runtime)
    assert codes(await post(door, 2)) == {201: 1, 429: 1}
    assert waiting["status"] == "queued"
    (listed,) = (await door.http.get("/tasks", params={"status": "scheduled"})).json()["items"]
    await cancel(door.runtime, DEFAULT_TENANT, TaskId(listed["id"]))
    assert codes(await post(door, 2)) == {201: 1, 429: 1}


async def test_what_has_to_come_is_counted_and_never_refused(door: Door) -> None:
    await limit(door, tasks_per_day=1)
    intake = door.app.state.desk.intake
    for _ in range(3):
        await intake.submit(TaskRequest(type="greet"), Origin(DEFAULT_TENANT, always=True))
    child = door.runtime.clock.task_id()
    called = Origin(DEFAULT_TENANT, parent_id=child, child_id=child)
    assert (await intake.submit(TaskRequest(type="greet"), called)).replayed is False
    assert (await intake.submit(TaskRequest(type="greet"), called)).replayed is True
    assert codes(await post(door, 1)) == {429: 1}
    await limit(door, tasks_per_day=5)
    assert codes(await post(door, 2)) == {201: 1, 429: 1}


@pytest.mark.parametrize("limits", [{"tasks_per_day": 4}, {"queued": 3}], ids=str)
async def test_what_tells_of_endings_takes_no_place(
    database_url: str, redis_url: str, redis_admin: Any, limits: dict[str, Any]
) -> None:
    async with open_door(database_url, redis_url, aurea_signing_secrets=("m" * 40,)) as door:
        task = await door.submit(callback_url="https://example.com/hook")
        await cancel(door.runtime, DEFAULT_TENANT, TaskId(task["id"]))
        made = (await door.http.post("/subscriptions", json={"url": "https://example.com/hook"})).json()
        await limit(door, **limits)
        assert codes(await post(door, 1)) == {201: 1}
        assert await announce(door.runtime, Passed()) == 1
        for _ in range(3):
            assert (await door.http.post(f"{made['links']['self']}/test")).status_code == 202
        assert codes(await post(door, 1)) == {201: 1}
        redis_admin.flushall()
        assert codes(await post(door, 2)) == {201: 1, 429: 1}


async def test_a_day_ends_at_midnight_utc(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def at(moment: datetime) -> None:
        monkeypatch.setattr(door.runtime.clock, "now", lambda: moment)

    at(datetime(2031, 3, 1, 23, 59, 30, tzinfo=UTC))
    await limit(door, tasks_per_day=2)
    # Ids are of this machine's day, which is over: only what Redis counts is of that one.
    answers = await post(door, 3)
    assert codes(answers) == {201: 2, 429: 1}
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "30"}
    at(datetime(2031, 3, 2, 0, 0, 0, tzinfo=UTC))
    assert codes(await post(door, 3)) == {201: 2, 429: 1}


async def test_counting_goes_on_while_postgres_is_away(doors: list[Door], monkeypatch: pytest.MonkeyPatch) -> None:
    door, _ = doors
    await limit(door, tasks_per_day=5, queued=5)
    assert codes(await post(door, 1)) == {201: 1}
    for each in doors:
        pool = each.runtime.ledger._database._pool
        monkeypatch.setattr(pool, "acquire", _refuse)
    answers = await together(doors, 10)
    assert codes(answers) == {201: 4, 429: 6}
    assert {answer.json().get("durability") for answer in answers if answer.status_code == 201} == {"memory"}


async def _refuse(*_: object, **__: object) -> None:
    raise ConnectionRefusedError


async def test_without_redis_postgres_is_counted(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await limit(door, tasks_per_day=3, queued=3)
    await door.submit()
    door.runtime.standby.redis.away = True
    assert [(await post(door, 1))[0].status_code for _ in range(4)] == [201, 201, 429, 429]
    door.runtime.standby.redis.away = False
    while door.runtime.standby.unsaid:
        await door.runtime.standby.unsaid.popleft()()
    assert codes(await post(door, 1)) == {429: 1}  # Redis had counted one
    await limit(door, tasks_per_day=4)
    assert codes(await post(door, 2)) == {201: 1, 429: 1}


async def test_a_redis_that_does_not_answer_holds_up_nobody_for_long(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await limit(door, tasks_per_day=2)

    async def frozen(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(door.runtime.queue, "take", frozen)
    assert [(await post(door, 1))[0].status_code for _ in range(3)] == [201, 201, 429]


async def test_a_process_that_starts_while_postgres_is_away_knows_the_limits(door: Door, redis_url: str) -> None:
    await limit(door, "acme", tasks_per_day=0)
    app = configured("postgresql://postgres:x@127.0.0.1:1/postgres", redis_url)
    async with app.router.lifespan_context(app):
        assert app.state.runtime.profiles.by_tenant == door.runtime.profiles.by_tenant
        assert app.state.runtime.profiles.by_tenant[Tenant("acme")].bounds.tasks_per_day == 0


async def test_what_is_counted_as_waiting_is_compared_with_postgres(door: Door) -> None:
    await limit(door, queued=3)
    real = TaskId((await door.submit())["id"])
    ghost = task_id(1_760_000_000_000, 1)
    queue, runtime = door.runtime.queue, door.runtime
    on_its_way = runtime.clock.task_id()
    await queue.count_waiting(DEFAULT_TENANT, {ghost: "greet", on_its_way: "greet"})
    await queue.uncount([real])
    await recount_waiting(runtime)
    assert await queue.waiting(DEFAULT_TENANT) == sorted([real, on_its_way])


async def test_another_process_learns_of_a_change_by_itself(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert profile._EVERY_SECONDS < 5
    monkeypatch.setattr(profile, "_EVERY_SECONDS", 0.02)
    async with open_door(database_url, redis_url) as door, open_door(database_url, redis_url) as other:
        for most in (7, None):
            await limit(door, "acme", tasks_per_day=most)
            async with asyncio.timeout(10):
                while (known(other) or Bounds()).tasks_per_day != most:  # noqa: ASYNC110 - another process' change
                    await asyncio.sleep(0.01)
        assert known(other) is None


def known(door: Door) -> Bounds | None:
    found = door.runtime.profiles.by_tenant.get(Tenant("acme"))
    return None if found is None else found.bounds
