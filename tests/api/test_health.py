"""What the system says of its stores: away, frozen, or unfit."""

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from redis import Redis as PlainRedis

from orchestrator.domain.errors import RedisEvicts
from orchestrator.ledger.migrate import migrate
from orchestrator.settings import Settings
from orchestrator.wiring import Role, open_runtime
from tests.api.door import Door, configured, open_door
from tests.conftest import Servers
from tests.frozen import frozen

BOUND_SECONDS = 2.5


@pytest_asyncio.fixture
async def own_door(own_servers: Servers) -> AsyncIterator[Door]:
    """An application on servers that may be frozen and stopped."""
    await migrate(own_servers.postgres.url)
    async with open_door(own_servers.postgres.url, own_servers.valkey.url) as opened:
        yield opened


async def ask(door: Door, path: str) -> tuple[int, str, dict[str, str]]:
    """Return the status, the word for the whole and for each store; never later than the bound."""
    began = time.monotonic()
    answer = await door.http.get(path)
    assert time.monotonic() - began < BOUND_SECONDS
    body = answer.json()
    if answer.status_code == 503:
        assert answer.headers["Retry-After"] == "2"
    return answer.status_code, body["status"], {name: each["status"] for name, each in body["dependencies"].items()}


async def test_health_is_open_to_all_and_tells_each_dependency(door: Door) -> None:
    nobody = httpx2.AsyncClient(transport=httpx2.ASGITransport(door.app), base_url="http://aurea.test")
    async with nobody as http:
        assert (await http.get("/livez")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).status_code == 200
        health = (await http.get("/health")).json()
    assert health["status"] == "ok"
    assert set(health["dependencies"]) == {"postgres", "redis"}
    assert all(0 <= state["latency_ms"] < 2000 for state in health["dependencies"].values())


async def test_a_redis_without_persistence_is_named_and_no_fault(door: Door) -> None:
    answer = await door.http.get("/health")
    redis = answer.json()["dependencies"]["redis"]
    assert (answer.status_code, redis["status"]) == (200, "ok")
    assert redis["detail"].startswith("no persistence: tasks accepted while Postgres is away would be lost")


async def test_a_postgres_without_our_tables_is_told_what_to_run(door: Door, database_url: str) -> None:
    database = await asyncpg.connect(database_url)
    await database.execute("alter table orchestrator_tasks rename to somebodys_tasks")
    await database.close()
    answer = await door.http.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert "run `aurea migrate`" in answer.json()["dependencies"]["postgres"]["detail"]


async def test_while_one_store_is_gone_the_other_accepts_work_and_health_says_which(
    own_servers: Servers, own_door: Door
) -> None:
    own_servers.valkey.stop()
    stores = {"postgres": "ok", "redis": "unavailable"}
    assert await ask(own_door, "/health") == (503, "degraded", stores)
    assert await ask(own_door, "/readyz") == (200, "degraded", stores)
    assert [(await own_door.http.head(path)).status_code for path in ("/health", "/readyz")] == [503, 200]
    assert (await own_door.http.post("/tasks", json={"type": "greet"})).status_code == 201
    own_servers.valkey.start_again()
    assert await ask(own_door, "/health") == (200, "ok", {"postgres": "ok", "redis": "ok"})


async def test_health_answers_in_time_while_stores_are_frozen_and_the_process_lives_on(
    own_servers: Servers, own_door: Door
) -> None:
    async def asked() -> list[tuple[int, str, dict[str, str]]]:
        return await asyncio.gather(ask(own_door, "/health"), ask(own_door, "/readyz"))

    with frozen(own_servers.postgres, own_servers.valkey):
        both = {"postgres": "unavailable", "redis": "unavailable"}
        assert await asked() == [(503, "unavailable", both)] * 2
        began = time.monotonic()
        assert (await own_door.http.get("/livez")).status_code == 200
        assert time.monotonic() - began < 0.5, "it asks no store"
    well = {"postgres": "ok", "redis": "ok"}
    assert await asked() == [(200, "ok", well)] * 2
    with frozen(own_servers.postgres):
        one = {"postgres": "unavailable", "redis": "ok"}
        assert await asked() == [(503, "degraded", one), (200, "degraded", one)]


async def test_a_read_while_postgres_is_frozen_names_it_and_when_to_try_again(
    own_servers: Servers, own_door: Door
) -> None:
    with frozen(own_servers.postgres):
        began = time.monotonic()
        answer = await own_door.http.get("/tasks")
        assert time.monotonic() - began < BOUND_SECONDS
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.json()["dependency"] == "postgres"
    assert answer.json()["detail"].startswith("postgres cannot be used now: try again in 2 s")
    assert (await own_door.http.get("/tasks")).status_code == 200


@pytest.mark.parametrize("role", ["api", "worker", "scheduler", "cron"])
async def test_a_redis_that_throws_keys_away_is_refused_at_start(own_servers: Servers, role: Role) -> None:
    with PlainRedis.from_url(own_servers.valkey.url) as admin:
        admin.config_set("maxmemory-policy", "volatile-lru")
    settings = Settings(
        _env_file=None, database_url=own_servers.postgres.url, redis_url=own_servers.valkey.url, aurea_api_token="t"
    )
    with pytest.raises(RedisEvicts, match=r"volatile-lru.*set `maxmemory-policy noeviction`"):
        async with open_runtime(settings, role):
            pytest.fail("it started")


async def test_a_redis_that_throws_keys_away_and_was_away_at_the_start_is_told_by_health(own_servers: Servers) -> None:
    await migrate(own_servers.postgres.url)
    own_servers.valkey.stop()
    app = configured(own_servers.postgres.url, own_servers.valkey.url)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://aurea.test") as http,
    ):
        own_servers.valkey.start_again()
        with PlainRedis.from_url(own_servers.valkey.url) as admin:
            admin.config_set("maxmemory-policy", "allkeys-lru")
        health = await http.get("/health")
    redis = health.json()["dependencies"]["redis"]
    assert (health.status_code, redis["status"]) == (503, "unavailable")
    assert "maxmemory-policy noeviction" in redis["detail"]
