"""What an attempt tells, and how it fails, holds no secret: neither in its events, nor in a row, nor in Redis."""

from collections.abc import Iterator

import asyncpg
import orjson
import pytest
import redis

from orchestrator.telemetry import redaction
from orchestrator.telemetry.redaction import HIDDEN, conceal, redact
from tests.api.door import TOKEN, open_door
from tests.worker.conftest import House
from tests.worker.edge_handlers import KNOWN


@pytest.fixture
def knowing(house: House) -> Iterator[House]:
    redaction.hide([KNOWN, "short"])
    yield house
    redaction.hide([])


async def test_a_handler_that_tells_secrets_tells_them_to_nobody(
    knowing: House, database_url: str, redis_admin: redis.Redis
) -> None:
    async with knowing.worker():
        task = await knowing.submit("tells_all")
        ended = await knowing.ended(task)
        story = b"".join(orjson.dumps(event.data) for event in await knowing.story(task))
    assert ended.error is not None
    assert ended.error["message"] == f"refused: Bearer {HIDDEN}, {HIDDEN}, https://h.example/?token={HIDDEN}"
    assert b"using [redacted]" in story
    assert b'"list":["x [redacted]"]' in story
    connection = await asyncpg.connect(database_url)
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    rows = [await connection.fetch(f"select t::text from {name} t") for (name,) in tables]
    await connection.close()
    kept = str(rows) + str([_inside(redis_admin, key) for key in redis_admin.scan_iter()])
    assert "tells_all" in kept
    assert "canary" not in kept
    assert b"canary" not in story


def _inside(server: redis.Redis, key: bytes) -> object:
    match server.type(key):
        case b"hash":
            return server.hgetall(key)
        case b"stream":
            return server.xrange(key)
        case b"zset":
            return server.zrange(key, 0, -1)
        case b"string":
            return server.get(key)
    return server.dump(key)


async def test_a_process_knows_the_secrets_that_it_was_started_with(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "canary-of-a-handler")
    async with open_door(database_url, redis_url):
        assert redact(f"token {TOKEN}, canary-of-a-handler") == f"token {HIDDEN}, {HIDDEN}"
    redaction.hide([])


@pytest.mark.parametrize(
    "text",
    [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "aur_live_a1b2c3d4_" + "Z9" * 20,
        "AIzaSyA-canary1canary1canary1",
        "rnd_canary1canary1",
        "sbp_canary1canary1",
    ],
)
def test_a_credential_is_known_by_its_shape(text: str) -> None:
    assert redact(f"with {text}.") == f"with {HIDDEN}."


def test_fields_that_hold_themselves_or_go_deep_are_told_all_the_same() -> None:
    inside: dict[str, object] = {"token": "canary"}
    inside["self"] = inside
    assert str(conceal(inside)).count("canary") <= 1  # where nobody looks any more
