"""/keys: made, shown once, used within their scopes, rotated, revoked; and nobody gives what he does not have."""

import base64
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.domain.api_key import RANDOM_BYTES, mint
from orchestrator.domain.principal import GRANTABLE, Scope
from orchestrator.operations import api_keys, identities
from tests.api.door import TOKEN, Door, open_door

ALL = sorted(GRANTABLE)


def bearer(key: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **headers}


async def make(door: Door, *scopes: str, sent: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    body = {"name": "ci", "scopes": list(scopes) or ALL, **fields}
    made = await door.http.post("/keys", json=body, headers=sent or {})
    assert made.status_code == 201, made.text
    return made.json()


async def status(door: Door, key: str, path: str = "/tasks", **headers: str) -> int:
    return (await door.http.get(path, headers=bearer(key, **headers))).status_code


async def test_a_key_acts_for_its_tenant_and_no_other(door: Door) -> None:
    made = await make(door, sent={"Aurea-Tenant": "acme"})
    assert made["tenant"] == "acme"
    task = (await door.http.post("/tasks", json={"type": "greet"}, headers=bearer(made["key"]))).json()
    assert await status(door, made["key"], task["links"]["self"]) == 200
    assert (await door.http.get(task["links"]["self"])).status_code == 404
    assert await status(door, made["key"], **{"Aurea-Tenant": "acme"}) == 200
    refused = await door.http.get("/tasks", headers=bearer(made["key"], **{"Aurea-Tenant": "default"}))
    assert (refused.status_code, refused.json()["scope"]) == (403, "admin")


async def test_the_secret_is_shown_once_and_kept_nowhere(
    door: Door, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    made = await make(door)
    secret = made["key"][-38:-6]
    assert await status(door, made["key"]) == 200
    assert await status(door, made["key"][:-7] + "AAAAAAA") == 401
    listed = await door.http.get("/keys")
    row = str(dict(await door.database.fetchrow("select * from orchestrator_api_keys")))
    known = str(await door.runtime.keyring.copies(0, 10))
    assert (await door.http.post(f"/keys/{made['id']}/rotate", json={})).status_code == 201
    assert (await door.http.delete(f"/keys/{made['id']}")).status_code == 200
    told = caplog.text + "".join(str(vars(record)) for record in caplog.records) + "".join(capfd.readouterr())
    assert "key_revoked" in told
    assert made["id"] in row
    assert made["id"] in known
    assert all(secret not in text for text in (listed.text, row, known, told))
    assert (await door.database.fetchval("select hash from orchestrator_api_keys")).hex() not in listed.text


async def test_a_wrong_secret_and_an_unknown_id_are_answered_alike(door: Door) -> None:
    made = await make(door)
    stranger, impostor = (mint("dev", seed + bytes(RANDOM_BYTES)).text for seed in (b"1" * 16, b"2" * 16))
    await door.database.execute("update orchestrator_api_keys set id = $1", impostor.split("_")[2])
    answers = [await door.http.get("/tasks", headers=bearer(text)) for text in (stranger, impostor)]
    first, second = ({**answer.json(), "trace_id": ""} for answer in answers)
    assert [answer.status_code for answer in answers] == [401, 401]
    assert first == second
    assert await status(door, made["key"]) == 401  # its id is gone


async def test_nobody_gives_more_than_he_has(door: Door) -> None:
    weak = await make(door, "keys:write", "tasks:read")
    strong = await make(door)
    sent = bearer(weak["key"])
    refused = await door.http.post("/keys", json={"name": "x", "scopes": ["tasks:write"]}, headers=sent)
    assert (refused.status_code, refused.json()["scope"]) == (403, "tasks:write")
    taken = await door.http.post(f"/keys/{strong['id']}/rotate", json={}, headers=sent)
    assert taken.status_code == 403
    assert await status(door, strong["key"]) == 200
    same = await door.http.post("/keys", json={"name": "x", "scopes": ["tasks:read"]}, headers=sent)
    assert same.json()["created_by"] == f"key:{weak['id']}"
    assert await door.database.fetchval("select count(*) from orchestrator_api_keys") == 3


async def test_admin_is_given_to_no_key_not_even_by_the_admin(door: Door) -> None:
    refused = await door.http.post("/keys", json={"name": "x", "scopes": ["tasks:read", "admin"]})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/scopes/1")
    made = await make(door)
    await door.database.execute("update orchestrator_api_keys set scopes = '{tasks:read,later:scope}'")
    assert Scope.ADMIN not in made["scopes"]
    assert await status(door, made["key"]) == 200  # a scope of another version gives nothing, and breaks nothing


async def test_a_key_that_ends_makes_none_that_outlives_it(door: Door) -> None:
    ends = door.runtime.clock.now() + timedelta(hours=1)
    made = await make(door, expires_at=ends.isoformat())
    for later in (None, (ends + timedelta(seconds=1)).isoformat()):
        body = {"name": "x", "scopes": ["tasks:read"], "expires_at": later}
        refused = await door.http.post("/keys", json=body, headers=bearer(made["key"]))
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/expires_at")
    assert (await make(door, expires_at=ends.isoformat(), sent=bearer(made["key"])))["expires_at"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["tasks:read"]}, "/name"),
        ({"name": "", "scopes": ["tasks:read"]}, "/name"),
        ({"name": "x" * 101, "scopes": ["tasks:read"]}, "/name"),
        ({"name": "a\nb", "scopes": ["tasks:read"]}, "/name"),
        ({"name": "x"}, "/scopes"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["tasks:read", "tasks:*"]}, "/scopes/1"),
        ({"name": "x", "scopes": "tasks:read"}, "/scopes"),
        ({"name": "x", "scopes": ["tasks:read"], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "x", "scopes": ["tasks:read"], "expires_at": 2_000_000_000}, "/expires_at"),
        ({"name": "x", "scopes": ["tasks:read"], "tenant": "acme"}, "/tenant"),
        ({"name": "x", "scopes": ["tasks:read"], "id": "abcdefgh"}, "/id"),
    ],
)
async def test_bad_wishes_are_refused_by_field_and_nothing_is_kept(door: Door, body: Any, pointer: str) -> None:
    refused = await door.http.post("/keys", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), refused.text
    assert await door.database.fetchval("select count(*) from orchestrator_api_keys") == 0


async def test_a_revoked_key_opens_nothing_and_a_repeat_changes_nothing(door: Door, now_old: None) -> None:
    made = await make(door)
    assert await status(door, made["key"]) == 200
    first = await door.http.delete(f"/keys/{made['id']}")
    again = await door.http.delete(f"/keys/{made['id']}")
    assert first.json()["revoked_at"] == again.json()["revoked_at"] is not None
    answer = await door.http.get("/tasks", headers=bearer(made["key"]))
    assert (answer.status_code, "was revoked" in answer.json()["detail"]) == (401, True)
    assert (await door.http.post(f"/keys/{made['id']}/rotate", json={})).status_code == 409


async def test_an_expired_key_opens_nothing(door: Door, now_old: None) -> None:
    made = await make(door)
    await door.database.execute("update orchestrator_api_keys set expires_at = now()")
    answer = await door.http.get("/tasks", headers=bearer(made["key"]))
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)


async def test_a_rotated_key_is_good_until_its_overlap_ends(door: Door, now_old: None) -> None:
    old = await make(door, "tasks:read", "keys:write")
    new = (await door.http.post(f"/keys/{old['id']}/rotate", json={"overlap_seconds": 60})).json()
    assert (new["name"], new["scopes"], new["expires_at"]) == (old["name"], old["scopes"], None)
    assert new["key"] != old["key"]
    assert [await status(door, key["key"]) for key in (old, new)] == [200, 200]
    assert (await door.http.post(f"/keys/{old['id']}/rotate", json={})).status_code == 409
    listed = {key["id"]: key for key in (await door.http.get("/keys")).json()["items"]}
    assert listed[old["id"]]["rotated_to"] == new["id"]
    ended = await door.http.post(f"/keys/{new['id']}/rotate", json={"overlap_seconds": 0})
    assert ended.status_code == 201
    assert await status(door, new["key"]) == 401
    await door.database.execute("update orchestrator_api_keys set expires_at = now() where id = $1", old["id"])
    assert await status(door, old["key"]) == 401


async def test_two_rotations_at_once_give_one_successor(door: Door) -> None:
    old = await make(door)
    key = await door.runtime.ledger.key(old["id"])
    assert key is not None
    now = door.runtime.clock.now()
    later = now + timedelta(hours=1)
    ways = [mint("dev", bytes([n]) * RANDOM_BYTES) for n in (1, 2)]
    given = [await door.runtime.ledger.rotate_key(key, way, now, "admin:admin", later, None) for way in ways]
    assert [new is None for new in given] == [False, True]


async def test_another_tenants_key_is_one_that_does_not_exist(door: Door) -> None:
    theirs = await make(door, sent={"Aurea-Tenant": "acme"})
    for method, path in (("DELETE", "/keys/{}"), ("POST", "/keys/{}/rotate")):
        known, unknown, odd = [
            await door.http.request(method, path.format(key_id), json={} if method == "POST" else None)
            for key_id in (theirs["id"], "0" * 8, "..%00")
        ]
        assert [answer.status_code for answer in (known, unknown, odd)] == [404, 404, 404]
        assert known.json()["detail"].replace(theirs["id"], "0" * 8) == unknown.json()["detail"]
    assert (await door.http.get("/keys")).json()["items"] == []
    assert await status(door, theirs["key"]) == 200


async def test_keys_are_listed_newest_first_page_by_page(door: Door) -> None:
    made = [(await make(door, name=f"key {number}"))["id"] for number in range(5)]
    await make(door, sent={"Aurea-Tenant": "acme"})
    seen, cursor = [], None
    while True:
        page = (await door.http.get("/keys", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [key["id"] for key in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    ends = ("0001-01-01T00:00:00+23:59 aaaaaaaa", "9999-12-31T23:59:59-23:59 aaaaaaaa")
    for wrong in ("x", "é", "AAAA", *map(cursor_of, ("2026-11-20T09:00:00 abcdefgh", "now 1", *ends))):
        assert (await door.http.get("/keys", params={"cursor": wrong})).status_code == 422


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_when_a_key_was_last_used_is_noted_at_most_once_a_minute(door: Door) -> None:
    made = await make(door)
    noting = door.app.state.desk.identities
    read = "select last_used_at from orchestrator_api_keys"
    assert await status(door, made["key"]) == 200
    assert await door.database.fetchval(read) is None  # never on a request's path
    await noting._note_use()
    first = await door.database.fetchval(read)
    assert first is not None
    assert await status(door, made["key"]) == 200
    await noting._note_use()
    noting._noted.clear()  # as another process has it
    await noting._note_use()
    assert await door.database.fetchval(read) == first
    await door.database.execute("update orchestrator_api_keys set last_used_at = now() - interval '2 minutes'")
    assert await status(door, made["key"]) == 200
    noting._noted.clear()
    await noting._note_use()
    assert await door.database.fetchval(read) > first


async def test_what_was_used_is_noted_when_the_process_leaves(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url) as door:
        made = await make(door)
        assert await status(door, made["key"]) == 200
    async with open_door(database_url, redis_url) as door:
        assert await door.database.fetchval("select last_used_at from orchestrator_api_keys") is not None


async def test_a_key_in_use_asks_no_store(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await make(door, "system:read")
    asked = []
    look_up = identities.Identities._look_up

    async def counted(self: Any, key_id: str) -> Any:
        asked.append(key_id)
        return await look_up(self, key_id)

    monkeypatch.setattr(identities.Identities, "_look_up", counted)
    assert {await status(door, made["key"], "/agents/count") for _ in range(50)} == {200}
    assert asked == [made["id"]]


async def test_what_was_read_four_seconds_ago_is_not_believed(door: Door) -> None:
    made = await make(door)
    assert await status(door, made["key"]) == 200
    await door.database.execute("update orchestrator_api_keys set revoked_at = now()")
    assert await status(door, made["key"]) == 200
    entries = door.app.state.desk.identities._entries
    entries[made["id"]] = replace(entries[made["id"]], asked_at=entries[made["id"]].asked_at - 4)
    assert await status(door, made["key"]) == 401


@pytest.fixture
def now_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of a key is never believed again."""
    monkeypatch.setattr(identities, "LONGEST_SECONDS", 0.0)


async def test_an_admin_token_of_any_shape_is_the_admins(database_url: str, redis_url: str) -> None:
    for token in ("aur_dev_short", "one.two.three", TOKEN):
        async with open_door(database_url, redis_url, aurea_api_token=token) as door:
            assert (await door.http.get("/workers", headers=bearer(token))).status_code == 200


async def test_copies_are_brought_in_step_with_postgres(door: Door) -> None:
    kept, revoked, over = [await make(door, name=name) for name in ("kept", "revoked", "over")]
    for key in (kept, revoked, over):
        assert await status(door, key["key"]) == 200
    await door.database.execute(  # without a word to Redis: it was away
        "update orchestrator_api_keys set revoked_at = now() - case name when 'over' then interval '2 h' else '0' end"
        " where name <> 'kept'"
    )
    await api_keys.compare_copies(door.runtime)
    _, copies = await door.runtime.keyring.copies(0, 10)
    assert set(copies) == {kept["id"], revoked["id"]}
    assert b'"revoked_at":null' in copies[kept["id"]]
    assert b'"revoked_at":null' not in copies[revoked["id"]]
