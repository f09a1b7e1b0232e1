"""An application whose callers hold every scope that a key can have, and are no admins."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app import deps
from orchestrator.domain.principal import GRANTABLE, Kind, Principal
from tests.api.door import open_door
from tests.tenants.matrix import announce
from tests.tenants.world import World, populate


@pytest_asyncio.fixture
async def world(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(deps, "admin", lambda tenant: Principal(tenant, Kind.KEY, "key-1", GRANTABLE))
    async with open_door(
        database_url, redis_url, aurea_home=tmp_path, aurea_signing_secrets=("a master secret of the tests: matrix",)
    ) as door:
        filled = await populate(door)
        await announce(filled)
        yield filled
