"""A body is bounded while it streams, whatever its headers claim."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app import request_body
from tests.api.door import TOKEN
from tests.api.live_server import Live, serve

LIMIT = 4096


@pytest_asyncio.fixture
async def live(database_url: str, redis_url: str) -> AsyncIterator[Live]:
    async with serve(database_url, redis_url, aurea_max_body_bytes=LIMIT, aurea_max_batch_bytes=2 * LIMIT) as running:
        yield running


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield b" " * 1024


async def talk(live: Live, head: str, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    lines = f"{head}\r\nHost: aurea.test\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
    writer.write(lines.encode() + b"".join(parts))
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(("path", "limit"), [("/tasks", LIMIT), ("/tasks/batch", 2 * LIMIT), ("/dead/replay", LIMIT)])
async def test_a_chunked_body_over_the_limit_is_cut_off(live: Live, path: str, limit: int) -> None:
    refused = await live.http.post(path, content=chunks(limit + 1024))
    assert refused.status_code == 413
    assert refused.json()["limit_bytes"] == limit
    assert (await live.http.post(path, content=chunks(limit))).status_code == 400  # read whole, and no JSON


async def test_a_declared_size_over_the_limit_is_refused_before_it_is_sent(live: Live) -> None:
    answer = await talk(live, "POST /tasks HTTP/1.1", f"Content-Length: {10**10}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


async def test_a_webhook_s_body_has_a_limit_of_its_own(live: Live) -> None:
    assert (await live.http.post("/webhooks/github", content=chunks(16 * LIMIT))).status_code == 401
    answer = await talk(live, "POST /webhooks/github HTTP/1.1", f"Content-Length: {26 * 2**20}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_body_that_does_not_come_is_given_up(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "PATIENCE_SECONDS", 0.1)
    answer = await talk(live, "POST /tasks HTTP/1.1", b"Content-Length: 10\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_client_that_leaves_half_way_disturbs_nobody(live: Live) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", live.port)
    head = f"POST /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"type":"greet"')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await live.http.post("/tasks", json={"type": "greet"})).status_code == 201
    assert len((await live.http.get("/tasks")).json()["items"]) == 1
