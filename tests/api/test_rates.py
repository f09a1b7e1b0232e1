"""Who asks too often: told so, and when to ask again; everybody else goes on."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from app.tolls import payer
from orchestrator.domain.api_key import RANDOM_BYTES, mint
from orchestrator.domain.errors import Unavailable
from orchestrator.operations import throttle
from orchestrator.operations.profile import learn
from tests.api.door import TOKEN, Door, open_door

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine Redis would seem slow, and each process count alone."""
    monkeypatch.setattr(throttle, "_PATIENCE_SECONDS", 10.0)


async def many(door: Door, count: int, path: str = "/tasks", **headers: str) -> list[httpx2.Response]:
    return await asyncio.gather(*(door.http.get(path, headers=headers) for _ in range(count)))


def codes(answers: list[httpx2.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def limit(door: Door, tenant: str, per_minute: int | None) -> None:
    assert (await door.http.put(f"/tenants/{tenant}", json={"requests_per_minute": per_minute})).status_code == 200


async def test_a_tenant_has_its_requests_a_minute_over_all_processes(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url) as door, open_door(database_url, redis_url) as second:
        await limit(door, "acme", 20)
        await learn(second.runtime)
        halves = await asyncio.gather(*(many(each, 30, **{"Aurea-Tenant": "acme"}) for each in (door, second)))
        answers = [answer for half in halves for answer in half]
        assert 20 <= codes(answers)[200] <= 22
        refused = next(answer for answer in answers if answer.status_code == 429)
        passed = [answer for answer in answers if answer.status_code == 200]
        others = await many(door, 30)
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) == refused.json()["retry_after_seconds"] <= 3
    assert refused.headers["ratelimit-policy"] == '"tenant";q=20;w=60'
    assert refused.headers["ratelimit"].startswith('"tenant";r=0;t=')
    left = {int(answer.headers["ratelimit"].split(";")[1].removeprefix("r=")) for answer in passed}
    assert set(range(20)) <= left
    assert codes(others) == {200: 30}
    assert "ratelimit" not in others[0].headers


async def test_a_principal_has_his_over_all_tenants(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, aurea_rate_per_principal=5) as door:
        answers = [await many(door, 4, **{"Aurea-Tenant": tenant}) for tenant in ("one", "two")]
        assert codes([answer for each in answers for answer in each]) == {200: 5, 429: 3}
        assert answers[0][0].headers["ratelimit-policy"] == '"principal";q=5;w=60'


@pytest.mark.parametrize(
    ("path", "headers", "usual"),
    [
        ("/health", {}, 200), ("/readyz", AUTHORIZED, 200), ("/docs", {}, 200), ("/openapi.json", {}, 200),
        ("/webhooks/github", {}, 405), ("/tasks", {"Authorization": ""}, 401), ("/nothing", {"Authorization": ""}, 404),
        ("/tasks", {"Authorization": "Bearer wrong"}, 401),
    ],
)  # fmt: skip
async def test_an_address_without_a_good_token_is_limited_everywhere(
    database_url: str, redis_url: str, path: str, headers: dict[str, str], usual: int
) -> None:
    async with open_door(database_url, redis_url, aurea_rate_per_address=3) as door:
        sent = headers or {"Authorization": ""}
        answers = [await door.http.get(path, headers=sent) for _ in range(5)]
        assert codes(answers) in ({usual: 3, 429: 2}, {usual: 4, 429: 1})  # one more after 20 s
        assert answers[-1].headers["content-type"] == "application/problem+json"
        assert answers[-1].headers["ratelimit-policy"] == '"address";q=3;w=60'
        assert codes(await many(door, 5)) == {200: 5}, "a good token passes"
        assert codes(await many(door, 5, "/livez", Authorization="")) == {200: 5}


async def test_an_address_over_its_rate_has_no_unknown_key_looked_up_and_keys_in_use_pass(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(database_url, redis_url, aurea_rate_per_address=3) as door:
        made = (await door.http.post("/keys", json={"name": "ci", "scopes": ["tasks:read"]})).json()
        good = {"Authorization": f"Bearer {made['key']}"}
        assert (await door.http.get("/tasks", headers=good)).status_code == 200
        looked_up: list[str] = []
        look = door.runtime.ledger.key

        async def counted(key_id: str) -> Any:
            looked_up.append(key_id)
            return await look(key_id)

        monkeypatch.setattr(door.runtime.ledger, "key", counted)
        unknown = [mint("dev", bytes([number] * RANDOM_BYTES)).text for number in range(12)]
        answers = [await door.http.get("/tasks", headers={"Authorization": f"Bearer {key}"}) for key in unknown]
        assert codes(answers) in ({401: 2, 429: 10}, {401: 3, 429: 9})  # one was for the key, when it was new here
        assert len(looked_up) == codes(answers)[401]
        looked_up.clear()
        door.app.state.desk.identities._entries[made["id"]] = replace(
            door.app.state.desk.identities._entries[made["id"]], asked_at=0
        )
        monkeypatch.setattr(door.runtime.rates, "admit", None)  # nobody is asked how often a known key may be looked up
        assert codes(await many(door, 5, **good)) == {200: 5}
        assert looked_up == [made["id"]]


async def test_what_else_comes_from_an_address_keeps_no_good_key_out_and_guessed_keys_do(
    database_url: str, redis_url: str
) -> None:
    async with open_door(database_url, redis_url, aurea_rate_per_address=3) as door:
        made = [(await door.http.post("/keys", json={"name": "ci", "scopes": ["tasks:read"]})).json() for _ in range(2)]
        first, second = [{"Authorization": f"Bearer {each['key']}"} for each in made]
        for path, sent in (("/health", ""), ("/tasks", "Bearer wrong")):
            assert 429 in codes(await many(door, 5, path, Authorization=sent))
        assert (await door.http.get("/tasks", headers=first)).status_code == 200, "its address is over, and it is new"
        guessed = [mint("dev", bytes([number] * RANDOM_BYTES)).text for number in range(12)]
        answers = [await door.http.get("/tasks", headers={"Authorization": f"Bearer {key}"}) for key in guessed]
        assert codes(answers)[401] <= 3, "no more are looked up than without a good one"
        assert (await door.http.get("/tasks", headers=second)).status_code == 429, "nobody can tell it from a guess"
        assert codes(await many(door, 5, **first)) == {200: 5}


async def test_without_redis_each_process_counts_alone(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await limit(door, "acme", 3)

    async def away(*_: Any) -> Any:
        raise Unavailable("redis")

    monkeypatch.setattr(door.runtime.rates, "admit", away)
    monkeypatch.setattr(door.runtime.queue, "ping", away)
    answers = [await door.http.get("/handlers", headers={"Aurea-Tenant": "acme"}) for _ in range(5)]
    assert codes(answers) in ({200: 3, 429: 2}, {200: 4, 429: 1})
    assert door.runtime.standby.redis.away


async def test_a_request_without_a_limit_asks_nobody(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(*_: Any) -> Any:
        raise AssertionError("Redis was asked")

    monkeypatch.setattr(door.runtime.rates, "admit", asked)
    monkeypatch.setattr(door.runtime.queue, "take", asked)
    await door.submit()
    assert codes(await many(door, 2)) == {200: 2}


@pytest.mark.parametrize(
    ("peer", "pays"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_address_pays_as_what_one_customer_has(peer: str | None, pays: str) -> None:
    assert payer({"client": None if peer is None else (peer, 4711)}) == pays
