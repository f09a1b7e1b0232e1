"""Every route says what it needs: nothing is open, or for everybody, because somebody forgot."""

import os
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from app.access import NEEDED, OPEN
from app.main import create_app
from app.tolls import is_open
from orchestrator.domain.api_key import RANDOM_BYTES, ApiKey, mint
from orchestrator.domain.ids import DEFAULT_TENANT, TaskId
from orchestrator.domain.principal import GRANTABLE, Scope
from orchestrator.settings import Settings
from tests.api.door import Door, open_door

ROUTES = [route for route in create_app(Settings(_env_file=None)).routes if isinstance(route, APIRoute)]


def test_every_route_has_a_scope_or_is_open_and_nothing_else_is_listed() -> None:
    named = {route.operation_id for route in ROUTES}
    assert OPEN.isdisjoint(NEEDED)
    assert named == OPEN | set(NEEDED)


def test_what_changes_something_needs_more_than_to_read() -> None:
    changing = {route.operation_id for route in ROUTES if route.methods != {"GET"}} - OPEN
    assert {name for name in changing if NEEDED[str(name)].endswith(":read")} == set()
    assert {NEEDED[str(route.operation_id)] for route in ROUTES if route.path.startswith("/keys")} == {Scope.KEYS_WRITE}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.operation_id not in OPEN], ids=lambda r: r.name)
async def test_a_route_without_a_token_is_refused_before_anything_else(door: Door, route: Any) -> None:
    path = route.path.replace("{id}", TaskId("01997c0e-0000-7000-8000-000000000000"))
    for method in route.methods:
        answer = await door.http.request(method, path, headers={"Authorization": ""}, content=b"{")
        assert answer.status_code == 401, answer.text


async def test_a_key_without_the_scope_of_a_route_is_refused_there_and_with_it_is_not(door: Door) -> None:
    for route in ROUTES:
        needed = NEEDED.get(str(route.operation_id))
        if needed is None:
            continue
        lacking, having = [await _key(door, scopes) for scopes in (sorted(GRANTABLE - {needed}), [needed])]
        path = route.path.replace("{id}", TaskId("01997c0e-0000-7000-8000-000000000000"))
        for method in route.methods:
            sent = {"content": b"{"} if method in ("POST", "PUT") else {}
            refused = await door.http.request(method, path, headers=lacking, **sent)
            assert (refused.status_code, refused.json()["scope"]) == (403, needed), route.operation_id
            if route.operation_id != "stream_follow" and needed in GRANTABLE:
                let_in = await door.http.request(method, path, headers=having, **sent)
                assert let_in.status_code not in (401, 403), route.operation_id


async def _key(door: Door, scopes: Sequence[str]) -> dict[str, str]:
    """A key of these scopes, as the header that carries it."""
    minted = mint("test", os.urandom(RANDOM_BYTES))
    given = frozenset(Scope(scope) for scope in scopes) & GRANTABLE
    key = ApiKey(minted.id, DEFAULT_TENANT, "x", "test", minted.hash, given, door.runtime.clock.now(), "test")
    assert await door.runtime.ledger.add_key(key)
    return {"Authorization": f"Bearer {minted.text}"}


def test_what_is_open_pays_by_its_address() -> None:
    """Whatever token somebody shows there: nobody looks at it."""
    for route in ROUTES:
        if route.operation_id in OPEN and route.path != "/livez":
            assert is_open({"path": route.path.replace("{source}", "x"), "headers": [(b"authorization", b"")]}), (
                route.path
            )


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"env": "production", "aurea_api_token": None}, ["nobody_is_admin"]),
        ({"env": "production"}, []),
        ({"aurea_api_token": None}, []),
    ],
)
async def test_a_production_that_nobody_is_admin_of_says_so_when_it_starts(
    database_url: str, redis_url: str, changes: dict[str, Any], warned: list[str]
) -> None:
    with capture_logs() as lines:
        async with open_door(database_url, redis_url, **changes) as door:
            assert (await door.http.get("/livez")).status_code == 200
    assert [line["event"] for line in lines if "AUREA_API_TOKEN" in str(line)] == warned
