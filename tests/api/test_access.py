"""Every route says what it needs: nothing is open, or for everybody, because somebody forgot."""

from typing import Any

import pytest
from fastapi.routing import APIRoute

from app.access import NEEDED, OPEN
from app.main import create_app
from orchestrator.domain.ids import TaskId
from orchestrator.settings import Settings
from tests.api.door import Door

ROUTES = [route for route in create_app(Settings(_env_file=None)).routes if isinstance(route, APIRoute)]


def test_every_route_has_a_scope_or_is_open_and_nothing_else_is_listed() -> None:
    named = {route.operation_id for route in ROUTES}
    assert OPEN.isdisjoint(NEEDED)
    assert named == OPEN | set(NEEDED)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.operation_id not in OPEN], ids=lambda r: r.name)
async def test_a_route_without_a_token_is_refused_before_anything_else(door: Door, route: Any) -> None:
    path = route.path.replace("{id}", TaskId("01997c0e-0000-7000-8000-000000000000"))
    for method in route.methods:
        answer = await door.http.request(method, path, headers={"Authorization": ""}, content=b"{")
        assert answer.status_code == 401, answer.text
