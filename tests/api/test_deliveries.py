"""Deliveries on record: every repeat is known, whoever forgot what, and what came can be processed again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from cron import prune
from orchestrator.operations import receive
from orchestrator.worker.chores import deliveries
from tests.api.door import TOKEN, Door, succeed
from tests.api.senders import SENDERS, Sender, open_to_all

GITHUB = SENDERS["github"]


@pytest.fixture
async def door(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, redis_url: str
) -> AsyncIterator[Door]:
    async with open_to_all(monkeypatch, tmp_path, database_url, redis_url) as opened:
        yield opened


async def listed(door: Door, **query: Any) -> list[dict[str, Any]]:
    answer = await door.http.get("/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
async def test_a_hundred_repeats_are_one_task_and_one_record(
    door: Door, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "_LOOK_SECONDS", 20)  # a repeat that Postgres is too busy for is not counted
    request = sender.request("d-77")
    together = await asyncio.gather(*(sender.send(door, request) for _ in range(50)))
    later = [await sender.send(door, request) for _ in range(50)]
    assert sorted(answer.status_code for answer in together) == [200] * 49 + [sender.accepted]
    assert {answer.status_code for answer in later} == {200}
    assert len({answer.headers["location"] for answer in [*together, *later]}) == 1
    (task,) = (await door.http.get("/tasks")).json()["items"]
    (record,) = await listed(door)
    assert (record["task_id"], record["id"], record["times_seen"]) == (task["id"], task["id"], 100)
    assert (record["source"], record["secret"], record["redelivered"]) == (sender.source, 0, 0)
    assert sender.source in ("clickup",) or record["delivery_id"] == "d-77"
    assert f"webhook:{sender.source}:{record['delivery_id']}" == task["idempotency_key"]


async def test_two_deliveries_are_two_tasks(door: Door) -> None:
    for sender in SENDERS.values():
        first, second = await sender.send(door, sender.request("d-1")), await sender.send(door, sender.request("d-2"))
        assert first.headers["location"] != second.headers["location"]


async def test_a_delivery_is_shown_with_what_came_and_without_old_tokens(door: Door) -> None:
    await SENDERS["slack"].send(door, SENDERS["slack"].request("Ev-1"))
    (record,) = await listed(door)
    shown = (await door.http.get(f"/deliveries/{record['id']}")).json()
    assert shown["body"] == {"type": "event_callback", "event_id": "Ev-1", "event": {"type": "app_mention"}}
    assert (shown["headers"], shown["scheme"], shown["event"]) == ({}, "slack", "app_mention")
    assert shown["links"] == {"self": f"/deliveries/{record['id']}", "task": f"/tasks/{record['task_id']}"}
    assert {name: value for name, value in shown.items() if name not in ("headers", "body")} == record


async def test_the_list_is_paged_and_narrowed(door: Door) -> None:
    for number in range(3):
        await GITHUB.send(door, GITHUB.request(f"d-{number}"))
    await SENDERS["stripe"].send(door)
    assert [each["source"] for each in await listed(door)] == ["pay", "github", "github", "github"]
    assert [each["event"] for each in await listed(door, source="pay")] == ["charge.paid"]
    assert len(await listed(door, event="push")) == 3
    assert await listed(door, source="pay", event="push") == []
    first = (await door.http.get("/deliveries", params={"limit": 3})).json()
    rest = (await door.http.get("/deliveries", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert ([len(first["items"]), len(rest["items"])], rest["next_cursor"]) == ([3, 1], None)
    assert (await door.http.get("/deliveries", params={"sorce": "pay"})).status_code == 422
    assert (await door.http.get("/deliveries", params={"cursor": "x"})).status_code == 422


async def test_a_redelivery_is_a_task_of_its_own_with_the_same_content(door: Door) -> None:
    first = (await GITHUB.send(door)).json()
    (record,) = await listed(door)
    tasks = [await door.http.post(f"/deliveries/{record['id']}/redeliver") for _ in range(2)]
    assert [answer.status_code for answer in tasks] == [201, 201]
    payloads = [answer.json()["payload"] for answer in tasks]
    assert payloads == [{**first["payload"], "delivery": f"d-1~{number}"} for number in (1, 2)]
    assert len({first["id"], *(answer.json()["id"] for answer in tasks)}) == 3
    (again,) = await listed(door)
    assert (again["redelivered"], again["times_seen"], again["task_id"]) == (2, 1, first["id"])


async def test_another_tenant_s_delivery_is_an_unknown_one(door: Door) -> None:
    await GITHUB.send(door)
    (record,) = await listed(door)
    other = {"Authorization": f"Bearer {TOKEN}", "Aurea-Tenant": "other"}
    unknown = record["id"][:-4] + "0000"
    for method, path in (("GET", "/deliveries/{}"), ("POST", "/deliveries/{}/redeliver")):
        foreign = await door.http.request(method, path.format(record["id"]), headers=other)
        absent = await door.http.request(method, path.format(unknown), headers=other)
        assert (foreign.status_code, absent.status_code) == (404, 404)
        assert foreign.json()["detail"].replace(record["id"], "") == absent.json()["detail"].replace(unknown, "")
        assert (await door.http.request(method, path.format("nope"))).status_code == 422
    assert (await door.http.get("/deliveries", headers=other)).json()["items"] == []
    assert (await listed(door))[0]["redelivered"] == 0


async def test_a_repeat_is_known_when_its_task_is_forgotten(door: Door) -> None:
    first = (await GITHUB.send(door)).json()
    await succeed(door.runtime)
    assert (await door.runtime.ledger.prune(door.runtime.clock.now() + timedelta(days=1), 10)).tasks == 1
    repeat = await GITHUB.send(door)
    assert (repeat.status_code, first["id"] in repeat.json()["detail"]) == (409, True)
    (record,) = await listed(door)
    assert record["times_seen"] == 2
    shown = (await door.http.get(f"/deliveries/{record['id']}")).json()
    assert (shown["headers"], shown["body"]) == (None, None)
    assert (await door.http.post(f"/deliveries/{record['id']}/redeliver")).status_code == 409
    assert (await door.http.get("/tasks")).json()["items"] == []


@pytest.mark.parametrize(("retention_days", "left"), [(30, [1, 29]), (1, [1]), (365, [1, 29, 31])])
async def test_a_record_goes_when_nobody_has_repeated_it_for_the_retention_and_a_week(
    door: Door, retention_days: int, left: list[int]
) -> None:
    for days in (1, 29, 31, 400):
        await GITHUB.send(door, GITHUB.request(f"{days}"))
        await door.database.execute(
            "update orchestrator_deliveries set seen_at = now() - make_interval(days => $1), received_at = '2020-01-01'"
            " where delivery_id = $2", days, f"{days}",
        )  # fmt: skip
    limits = replace(door.runtime.limits, retention_days=retention_days)
    assert await deliveries.chore(replace(door.runtime, limits=limits)).tick() is False
    assert [int(each["delivery_id"]) for each in await listed(door)] == left[::-1]


async def test_the_daily_job_forgets_records_too(door: Door) -> None:
    await GITHUB.send(door)
    await door.database.execute("update orchestrator_deliveries set seen_at = now() - interval '31 days'")
    await prune.run(door.runtime)
    assert await listed(door) == []


async def test_a_record_and_its_task_are_stored_together(door: Door) -> None:
    await door.database.execute("alter table orchestrator_deliveries add constraint none check (event <> 'push')")
    assert (await GITHUB.send(door)).status_code >= 500
    assert await door.database.fetchval("select count(*) from orchestrator_tasks") == 0


async def test_the_record_is_no_second_copy_of_the_body(door: Door) -> None:
    body = orjson.dumps({"ref": "x" * 100_000})
    await GITHUB.send(door, GITHUB.request(body=body))
    size = await door.database.fetchval("select pg_column_size(d.*) from orchestrator_deliveries d")
    assert size < 500
