"""/subscriptions and callback_url over HTTP: made, shown, tried out, told again; and what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.domain.signing import Generation
from orchestrator.domain.subscription import DELIVERIES
from orchestrator.operations.announce import Passed, announce
from tests.api.door import Door, fail, open_door, succeed

MASTER = "a master secret of the tests: new"
URL = "https://example.com/hook"
UNKNOWN = "01997c0e-7d40-7abc-8def-0123456789ab"


@pytest.fixture
async def door(database_url: str, redis_url: str) -> AsyncIterator[Door]:
    async with open_door(database_url, redis_url, aurea_signing_secrets=(MASTER,)) as opened:
        yield opened


async def subscribe(door: Door, **fields: Any) -> dict[str, Any]:
    answer = await door.http.post("/subscriptions", json={"url": URL, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def deliveries(door: Door, wanted: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = await door.http.get(wanted["links"]["deliveries"], params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_the_secret_is_shown_when_it_is_made_and_not_again(door: Door) -> None:
    made = await subscribe(door, types=["greet"], states=["failed"], description="to the pager")
    secret = made.pop("secret")
    assert secret == door.runtime.signer.secret("default", made["id"], 1)
    shown = await door.http.get(made["links"]["self"])
    assert shown.json() == made
    assert (await door.http.get("/subscriptions")).json() == {"items": [made], "next_cursor": None}
    assert (made["types"], made["states"], made["enabled"]) == (["greet"], ["failed"], True)
    assert secret not in shown.text


async def test_a_rotation_shows_the_next_secret(door: Door) -> None:
    made = await subscribe(door)
    turned = (await door.http.post(f"{made['links']['self']}/rotate")).json()
    assert turned["secret"] == door.runtime.signer.secret("default", made["id"], 2)
    assert turned["rotated_at"] is not None


async def test_the_secret_of_callback_urls_is_shown_by_making_it(door: Door) -> None:
    shown = [(await door.http.post("/callbacks/secret")).json()["secret"] for _ in range(2)]
    signer = door.runtime.signer
    assert shown == [signer.secret("default", "callbacks", number) for number in (1, 2)]
    kept: Generation = await door.runtime.ledger.callback_secret("default")
    assert kept.number == 2
    assert kept.valid(door.runtime.clock.now()) == [2, 1]


async def test_deliveries_show_what_was_told_and_answered(door: Door) -> None:
    made = await subscribe(door)
    task = await door.submit(callback_url=URL, tags={"team": "docs"})
    assert task["callback_url"] == URL
    await succeed(door.runtime)
    assert await announce(door.runtime, Passed()) == 2
    (waiting,) = await deliveries(door, made)
    assert (waiting["event"], waiting["task_id"], waiting["status"]) == ("task.succeeded", task["id"], "queued")
    assert waiting["event_id"].startswith(f"evt_{task['id'].replace('-', '')}_")
    for _ in range(2):
        await succeed(door.runtime, {"status": 200, "answer": "thanks"}, DELIVERIES)
    (arrived,) = await deliveries(door, made, status="succeeded")
    assert arrived["answer"] == {"status": 200, "answer": "thanks"}
    assert await deliveries(door, made, status="failed") == []
    assert (await door.http.get(arrived["links"]["self"])).json()["type"] == "webhook_deliver"


async def test_replay_by_ids_runs_its_own_deliveries_alone(door: Door) -> None:
    made, other = await subscribe(door), await subscribe(door)
    await door.submit()
    await succeed(door.runtime)
    await announce(door.runtime, Passed())
    for _ in range(2):
        await fail(door.runtime, queue=DELIVERIES)
    (its,), (others,) = await deliveries(door, made), await deliveries(door, other)
    body = {"ids": [its["id"], others["id"], UNKNOWN]}
    answer = await door.http.post(f"{made['links']['self']}/replay", json=body)
    assert answer.json() == {"replayed": 1, "examined": 0}
    assert [each["status"] for each in await deliveries(door, made)] == ["queued"]
    assert [each["status"] for each in await deliveries(door, other)] == ["failed"]


async def test_replay_since_a_moment_tells_what_did_not_arrive(door: Door) -> None:
    await door.submit()
    await succeed(door.runtime)
    made = await subscribe(door)
    body = {"since": "2026-01-01T00:00:00Z"}
    answer = await door.http.post(f"{made['links']['self']}/replay", json=body)
    assert answer.json() == {"replayed": 0, "examined": 1}
    await announce(door.runtime, Passed())
    await fail(door.runtime, queue=DELIVERIES)
    answer = await door.http.post(f"{made['links']['self']}/replay", json=body)
    assert answer.json() == {"replayed": 1, "examined": 1}
    await announce(door.runtime, Passed())
    assert [each["status"] for each in await deliveries(door, made)] == ["queued"]


async def test_a_test_event_is_a_delivery_of_its_own(door: Door) -> None:
    made = await subscribe(door, types=["greet"])
    answer = await door.http.post(f"{made['links']['self']}/test")
    assert answer.status_code == 202
    assert (answer.json()["event"], answer.json()["task_id"]) == ("subscription.test", None)
    assert await deliveries(door, made) == [answer.json()]


async def test_a_disabled_one_is_neither_tried_nor_replayed_before_it_is_enabled(door: Door) -> None:
    made = await subscribe(door)
    place = made["links"]["self"]
    await door.database.execute("update orchestrator_subscriptions set disabled_at = now(), disabled_reason = 'gone'")
    assert (await door.http.get(place)).json()["enabled"] is False
    for act, body in (("test", None), ("replay", {"ids": [UNKNOWN]}), ("replay", {"since": "2026-01-01T00:00:00Z"})):
        answer = await door.http.post(f"{place}/{act}", json=body)
        assert (answer.status_code, "enable it first" in answer.json()["detail"]) == (409, True)
    assert (await door.http.post(f"{place}/enable")).json()["enabled"] is True
    assert (await door.http.post(f"{place}/test")).status_code == 202


async def test_a_deleted_one_is_unknown(door: Door) -> None:
    made = await subscribe(door)
    await door.http.post(f"{made['links']['self']}/test")
    assert (await door.http.delete(made["links"]["self"])).status_code == 204
    assert (await door.http.delete(made["links"]["self"])).status_code == 404
    left = (await door.http.get("/tasks", params={"type": "webhook_deliver"})).json()["items"]
    assert [task["status"] for task in left] == ["cancelled"]


async def test_another_tenant_s_answers_as_one_that_does_not_exist(door: Door) -> None:
    made = await subscribe(door)
    stranger = {"Aurea-Tenant": "other"}
    acts: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/enable", None),
        ("POST", "/rotate", None),
        ("GET", "/deliveries", None),
        ("POST", "/replay", {"since": "2026-01-01T00:00:00Z"}),
        ("POST", "/replay", {"ids": [UNKNOWN]}),
        ("POST", "/test", None),
    ]
    for method, act, body in acts:
        answers = [
            await door.http.request(method, f"/subscriptions/{wanted}{act}", json=body, headers=stranger)
            for wanted in (made["id"], UNKNOWN)
        ]
        told = [answer.text.replace(made["id"], UNKNOWN).partition('"trace_id"')[0] for answer in answers]
        assert [answer.status_code for answer in answers] == [404, 404], act
        assert told[0] == told[1]
    assert (await door.http.get("/subscriptions", headers=stranger)).json()["items"] == []
    assert (await door.http.get(made["links"]["self"])).json()["rotated_at"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": 5}, "/url"),
        ({"url": "ftp://example.com"}, "/url"),
        ({"url": "https://me:secret@example.com"}, "/url"),
        ({"url": "http://169.254.169.254/latest"}, "/url"),
        ({"url": "http://2130706433/"}, "/url"),
        ({"url": URL, "types": ["no_such"]}, "/types/0"),
        ({"url": URL, "types": ["greet", "webhook_deliver"]}, "/types/1"),
        ({"url": URL, "types": []}, "/types"),
        ({"url": URL, "states": ["running"]}, ""),
        ({"url": URL, "states": ["done"]}, "/states/0"),
        ({"url": URL, "secret": "mine"}, "/secret"),
        ({"url": URL, "tenant": "other"}, "/tenant"),
    ],
)
async def test_a_bad_subscription_is_refused_by_field(door: Door, body: dict[str, Any], pointer: str) -> None:
    answer = await door.http.post("/subscriptions", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await door.http.get("/subscriptions")).json()["items"] == []


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com", "https://u:p@example.com/", "http://127.0.0.1/", "http://[::1]/", "http://intranet/hook", ""],
)
async def test_a_bad_callback_url_is_refused_and_nothing_stored(door: Door, url: str) -> None:
    before = await door.stored()
    answer = await door.http.post("/tasks", json={"type": "greet", "callback_url": url})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/callback_url"]
    batch = await door.http.post("/tasks/batch", json={"tasks": [{"type": "greet", "callback_url": url}]})
    assert [item["status_code"] for item in batch.json()["items"]] == [422]
    assert await door.stored() == before


async def test_another_callback_url_under_the_same_key_is_another_request(door: Door) -> None:
    body = {"type": "greet", "idempotency_key": "k-1", "callback_url": URL}
    assert (await door.http.post("/tasks", json=body)).status_code == 201
    assert (await door.http.post("/tasks", json=body)).status_code == 200
    assert (await door.http.post("/tasks", json={**body, "callback_url": URL + "2"})).status_code == 422


async def test_nobody_hands_in_a_delivery(door: Door) -> None:
    """It would be signed: whoever may create tasks could tell receivers what never happened."""
    event = {"id": "evt_1", "type": "task.succeeded", "timestamp": "2026-11-20T10:00:00Z", "data": {}}
    body = {"type": "webhook_deliver", "payload": {"url": URL, "event": event}}
    answer = await door.http.post("/tasks", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/type")


async def test_a_tenant_has_fifty_at_most(door: Door) -> None:
    await door.database.execute(
        "insert into orchestrator_subscriptions (id, tenant, url, description)"
        " select gen_random_uuid(), 'default', 'https://example.com', '' from generate_series(1, 50)"
    )
    assert (await door.http.post("/subscriptions", json={"url": URL})).status_code == 409
    other = await door.http.post("/subscriptions", json={"url": URL}, headers={"Aurea-Tenant": "other"})
    assert other.status_code == 201


async def test_without_a_master_secret_the_variable_is_named(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url) as door:
        task = {"type": "greet", "callback_url": URL}
        for path, body in (("/subscriptions", {"url": URL}), ("/callbacks/secret", None), ("/tasks", task)):
            answer = await door.http.post(path, json=body)
            assert (answer.status_code, answer.json()["variable"]) == (503, "AUREA_SIGNING_SECRETS"), path
