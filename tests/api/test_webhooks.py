"""GitHub deliveries through the door: proved, kept once, answered."""

import asyncio
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import httpx2
import orjson
from prometheus_client.parser import text_string_to_metric_families

from tests.api.door import SECRET, Door, open_door

BODY = orjson.dumps({"action": "opened", "number": 7, "pull_request": {"title": "é"}})


async def deliver(door: Door, body: bytes = BODY, *, delivery: str = "d-1", **headers: str) -> httpx2.Response:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    sent = {
        "Authorization": "",
        "Content-Type": "application/json",
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Hook-ID": "42",
        **headers,
    }
    return await door.http.post("/webhooks/github", content=body, headers=sent)


async def tasks(door: Door) -> list[dict[str, Any]]:
    return (await door.http.get("/tasks")).json()["items"]


async def test_a_signed_delivery_becomes_one_task(door: Door) -> None:
    answer = await deliver(door)
    assert answer.status_code == 202
    assert answer.json() == (await tasks(door))[0]
    task = answer.json()
    assert (task["type"], task["idempotency_key"]) == ("webhook_process", "webhook:github:d-1")
    assert task["payload"] == {
        "source": "github", "event": "pull_request", "delivery": "d-1", "headers": {"x-github-hook-id": "42"},
        "body": orjson.loads(BODY),
    }  # fmt: skip


async def test_a_repeat_answers_with_the_same_task(door: Door) -> None:
    first, again = await deliver(door), await deliver(door)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert len(await tasks(door)) == 1


async def test_the_delivery_id_alone_tells_a_repeat(door: Door) -> None:
    first = await deliver(door)
    other = await deliver(door, b'{"action": "closed"}')
    assert (other.status_code, other.json()["id"]) == (200, first.json()["id"])


async def test_fifty_simultaneous_repeats_make_one_task(door: Door) -> None:
    answers = await asyncio.gather(*(deliver(door) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]


async def test_a_form_is_read_like_json_and_a_ping_is_welcome(door: Door) -> None:
    form = urlencode({"payload": '{"zen": "a+b"}'}).encode()
    kind = "application/x-www-form-urlencoded"
    answer = await deliver(door, form, **{"Content-Type": kind, "X-GitHub-Event": "ping"})
    assert answer.status_code == 202
    assert (answer.json()["payload"]["event"], answer.json()["payload"]["body"]) == ("ping", {"zen": "a+b"})


async def test_nothing_is_stored_on_a_bad_signature_and_no_header_makes_a_500(door: Door) -> None:
    before = await door.stored()
    for header in ("", "sha256=", "sha256=" + "0" * 64, "sha1=0", "ÿ", "sha256=\x80\xff", "x" * 10_000):
        answer = await deliver(door, **{"X-Hub-Signature-256": header.encode("latin-1")})
        assert answer.status_code == 401, header
        assert answer.json()["code"] == "signature_refused"
    assert await door.stored() == before


async def test_a_bad_signature_is_refused_before_the_body_is_read_as_json(door: Door) -> None:
    answer = await deliver(door, b"[" * 100_000, **{"X-Hub-Signature-256": "sha256=00"})
    assert answer.status_code == 401


async def test_a_proved_body_is_still_strict_json(door: Door) -> None:
    assert (await deliver(door, b'{"a": NaN}')).json()["errors"][0]["pointer"] == "/a"
    assert (await deliver(door, b"nothing")).status_code == 400
    assert (await deliver(door, delivery="")).json()["errors"][0]["pointer"] == "/headers/X-GitHub-Delivery"
    assert await tasks(door) == []


async def test_a_payload_far_over_a_task_s_own_limit_is_taken(door: Door) -> None:
    answer = await deliver(door, orjson.dumps({"text": "x" * 5_000_000}))
    assert answer.status_code == 202


async def test_a_source_without_its_secret_names_the_variable(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, github_webhook_secret=None) as door:
        answer = await deliver(door)
        assert answer.status_code == 503
        assert answer.json()["variable"] == "GITHUB_WEBHOOK_SECRET"
        assert await tasks(door) == []


async def test_outcomes_are_counted(door: Door) -> None:
    await deliver(door)
    await deliver(door)
    await deliver(door, **{"X-Hub-Signature-256": "bad"})
    text = (await door.http.get("/metrics")).text
    (family,) = [each for each in text_string_to_metric_families(text) if each.name == "aurea_webhooks"]
    counted = {(sample.labels["source"], sample.labels["outcome"]): sample.value for sample in family.samples}
    assert counted == {("github", outcome): 1 for outcome in ("accepted", "repeated", "refused")}
