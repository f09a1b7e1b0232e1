"""Users of a Supabase project at the door: let in for their tenant, within their scopes, until their token expires."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest_asyncio
from pytest_httpserver import HTTPServer

from tests.api.door import Door, open_door
from tests.api.live_server import serve
from tests.api.test_keys import bearer
from tests.tokens import SECRET, USER, Project, forgeries

JWKS = "/auth/v1/.well-known/jwks.json"


def settings(httpserver: HTTPServer) -> dict[str, Any]:
    url = httpserver.url_for("").rstrip("/")
    private = (f"{httpserver.host}:{httpserver.port}",)
    return {"supabase_url": url, "supabase_jwt_secret": SECRET, "aurea_allow_private_hosts": private}


def published(httpserver: HTTPServer) -> Project:
    project = Project(httpserver.url_for("").rstrip("/"), datetime.now(UTC))
    httpserver.expect_request(JWKS).respond_with_json(project.jwks)
    return project


@pytest_asyncio.fixture
async def users(database_url: str, redis_url: str, httpserver: HTTPServer) -> AsyncIterator[Door]:
    async with open_door(database_url, redis_url, **settings(httpserver)) as door:
        yield door


async def test_a_user_works_in_his_tenant_and_no_forged_token_does(users: Door, httpserver: HTTPServer) -> None:
    project = published(httpserver)
    for text in (project.token(), project.shared()):
        answer = await users.http.post("/tasks", json={"type": "greet"}, headers=bearer(text))
        assert answer.status_code == 201, answer.text
    tenants = await users.database.fetch("select distinct tenant from orchestrator_tasks")
    assert [tuple(row) for row in tenants] == [(USER,)]
    acme = project.token(app_metadata={"tenant_id": "acme"})
    assert (await users.http.get("/tasks", headers=bearer(acme))).json()["items"] == []
    refused = await users.http.get("/tasks", headers=bearer(acme, **{"Aurea-Tenant": "default"}))
    assert (refused.status_code, refused.json()["scope"]) == (403, "admin")
    assert (await users.http.get("/workers", headers=bearer(acme))).status_code == 403
    for what, text in forgeries(project):
        sent = {"Authorization": f"Bearer {text}".encode()}
        answer = await users.http.get("/tasks", headers=sent)  # type: ignore[arg-type]
        assert (answer.status_code, what) == (401, what), answer.text


async def test_a_user_who_may_makes_keys_of_his_tenant_with_his_scopes(users: Door, httpserver: HTTPServer) -> None:
    project = published(httpserver)
    scopes = ["keys:write", "tasks:read"]
    sent = bearer(project.token(app_metadata={"tenant_id": "acme", "scopes": scopes}))
    made = await users.http.post("/keys", json={"name": "mine", "scopes": scopes}, headers=sent)
    assert (made.status_code, made.json()["tenant"], made.json()["created_by"]) == (201, "acme", f"user:{USER}")
    more = await users.http.post("/keys", json={"name": "more", "scopes": ["tasks:write"]}, headers=sent)
    assert (more.status_code, more.json()["scope"]) == (403, "tasks:write")


async def test_supabases_own_keys_are_no_users(users: Door) -> None:
    for text in ("sb_secret_" + "x" * 30, "sb_publishable_" + "x" * 30):
        answer = await users.http.get("/tasks", headers=bearer(text))
        assert (answer.status_code, "of no user" in answer.json()["detail"]) == (401, True)
        assert text not in answer.text


async def test_a_project_that_cannot_be_reached_is_said_and_a_private_one_is_not_asked(
    database_url: str, redis_url: str, httpserver: HTTPServer
) -> None:
    project = published(httpserver)
    async with open_door(database_url, redis_url, supabase_url=httpserver.url_for("").rstrip("/")) as door:
        answer = await door.http.get("/tasks", headers=bearer(project.token()))
        assert (answer.status_code, answer.json()["dependency"]) == (503, "supabase")
        assert answer.headers["Retry-After"]
    assert httpserver.log == []
    async with open_door(database_url, redis_url) as door:
        answer = await door.http.get("/tasks", headers=bearer(project.token()))
        assert (answer.status_code, answer.json()["variable"]) == (503, "SUPABASE_URL")


async def test_a_stream_ends_with_the_token_it_was_opened_with(
    database_url: str, redis_url: str, httpserver: HTTPServer
) -> None:
    project = published(httpserver)
    async with serve(database_url, redis_url, **settings(httpserver)) as live:
        lasting = bearer(project.token(app_metadata={"tenant_id": "default"}))
        task = (await live.http.post("/tasks", json={"type": "greet"}, headers=lasting)).json()
        ends = datetime.now(UTC).timestamp() + 1
        short = bearer(project.token(exp=ends, app_metadata={"tenant_id": "default"}))
        async with asyncio.timeout(6), live.http.stream("GET", task["links"]["stream"], headers=short) as answer:
            assert answer.status_code == 200
            text = (await answer.aread()).decode()
        assert "event: status" in text
        assert "event: end" not in text
        assert datetime.now(UTC).timestamp() >= ends
