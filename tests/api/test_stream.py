"""One growing sequence of events per task, over a real socket: live, resumed, replayed, closed."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import orjson
import pytest
import pytest_asyncio
import redis

from app.api import stream
from orchestrator.domain.events import EventKind
from orchestrator.domain.outcome import Succeeded
from tests.api.door import claim, fail, say
from tests.api.door import end as settle
from tests.api.live_server import Live, serve

Sent = tuple[str, str, Any]
"""One event: its id, its name, its data."""


@pytest_asyncio.fixture
async def live(database_url: str, redis_url: str) -> AsyncIterator[Live]:
    async with serve(database_url, redis_url) as running:
        yield running


async def submit(live: Live) -> str:
    return (await live.http.post("/tasks", json={"type": "greet"})).json()["id"]


async def parse(answer: httpx2.Response) -> AsyncIterator[Sent]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "id" in fields:
            yield fields["id"], fields["event"], orjson.loads(fields["data"])
            fields = {}


async def read(
    live: Live, task_id: str, after: str = "", most: int = 10_000, begun: asyncio.Event | None = None
) -> list[Sent]:
    """The events of one connection, up to its end or `most`; `begun` is set at the first."""
    headers = {"Last-Event-ID": after} if after else {}
    seen: list[Sent] = []
    async with live.http.stream("GET", f"/stream/{task_id}", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for event in parse(answer):
            seen.append(event)
            if begun is not None:
                begun.set()
            if len(seen) == most:
                break
    return seen


async def start_reading(live: Live, task_id: str) -> asyncio.Task[list[Sent]]:
    """A reader that has had its first event: what is told from now on reaches it live."""
    begun = asyncio.Event()
    reading = asyncio.create_task(read(live, task_id, begun=begun))
    await begun.wait()
    return reading


def kinds(events: Sequence[Sent]) -> list[str]:
    return [kind for _, kind, _ in events]


async def test_a_task_is_followed_live_to_its_end(live: Live) -> None:
    task_id = await submit(live)
    reading = await start_reading(live, task_id)
    claimed = await claim(live.runtime)
    await say(live.runtime, claimed, EventKind.LOG, {"text": "a\nb\n\ndata: c", "fields": {}})
    await say(live.runtime, claimed, EventKind.PROGRESS, {"fraction": 0.5, "text": "half"}, first=2)
    await say(live.runtime, claimed, EventKind.TOKEN, "é", first=3)
    await settle(live.runtime, claimed, Succeeded(b'{"n":1}'))
    events = await reading
    assert kinds(events) == ["status", "status", "log", "progress", "token", "status", "result", "end"]
    assert [data["status"] for _, kind, data in events if kind == "status"] == ["queued", "running", "succeeded"]
    assert events[2][2]["text"] == "a\nb\n\ndata: c"
    assert events[4][2] == "é"
    assert events[-2][2] == {"n": 1}
    assert events[-1][2]["status"] == "succeeded"
    ids = [int(place) for place, _, _ in events]
    assert ids == sorted(set(ids))


async def test_an_ended_task_is_replayed_and_closed(live: Live) -> None:
    task_id = await submit(live)
    await fail(live.runtime)
    events = await read(live, task_id)
    assert kinds(events) == ["status", "status", "status", "end"]
    assert events[-1][2]["error"]["message"] == "it broke"
    assert await read(live, task_id) == events


async def test_any_event_can_be_resumed_from_without_gap_or_repeat(live: Live) -> None:
    task_id = await submit(live)
    claimed = await claim(live.runtime)
    await say(live.runtime, claimed, EventKind.LOG, *({"text": str(n), "fields": {}} for n in range(5)))
    await settle(live.runtime, claimed, Succeeded(b"1"))
    events = await read(live, task_id)
    for place in range(len(events) - 1):
        assert await read(live, task_id, after=events[place][0]) == events[place + 1 :]
    in_query = await live.http.get(f"/stream/{task_id}", params={"last_event_id": events[-2][0]})
    assert in_query.text.count("event: ") == 1
    behind = await live.http.get(f"/stream/{task_id}", headers={"Last-Event-ID": events[-1][0]})
    assert behind.status_code == 204


async def test_cut_connections_together_see_every_event_once(live: Live) -> None:
    task_id = await submit(live)

    async def reconnecting() -> list[Sent]:
        seen: list[Sent] = []
        while not seen or seen[-1][1] != "end":
            seen += await read(live, task_id, after=seen[-1][0] if seen else "", most=7)
        return seen

    reading = asyncio.create_task(reconnecting())
    claimed = await claim(live.runtime)
    for number in range(1, 200):
        await say(live.runtime, claimed, EventKind.LOG, {"text": str(number), "fields": {}}, first=number)
    await settle(live.runtime, claimed, Succeeded(b"1"))
    events = await reading
    assert [data["text"] for _, kind, data in events if kind == "log"] == [str(n) for n in range(1, 200)]
    assert events == await read(live, task_id)


async def test_a_quiet_stream_is_kept_alive_by_comments(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stream.HEARTBEAT_SECONDS == 15
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    task_id = await submit(live)
    async with live.http.stream("GET", f"/stream/{task_id}") as answer:
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                break
    assert line == ": heartbeat"


async def test_streams_close_promptly_when_the_server_leaves(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    task_id = await submit(live)
    reading = [await start_reading(live, task_id) for _ in range(20)]
    began = time.monotonic()
    await live.leave()
    assert time.monotonic() - began < 2.0
    for each in reading:
        assert kinds(await each) == ["status"]
    assert caplog.records == []


async def test_a_listener_that_leaves_is_forgotten(live: Live, redis_admin: redis.Redis) -> None:
    task_id = await submit(live)
    channel = f"aurea:live:{task_id}"
    assert len(await read(live, task_id, most=1)) == 1
    async with asyncio.timeout(5):
        while redis_admin.pubsub_numsub(channel) != [(channel.encode(), 0)]:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)


async def test_a_reader_that_does_not_read_holds_no_memory_and_misses_nothing(live: Live) -> None:
    task_id = await submit(live)
    claimed = await claim(live.runtime)
    async with live.http.stream("GET", f"/stream/{task_id}") as answer:
        text = "x" * 10_000
        for first in range(1, 3001, 100):
            await say(live.runtime, claimed, EventKind.LOG, *[{"text": text, "fields": {}}] * 100, first=first)
        await settle(live.runtime, claimed, Succeeded(b"1"))
        waiting = [each.transport.get_write_buffer_size() for each in live.server.server_state.connections]
        events = [event async for event in parse(answer)]
    assert max(waiting) < 200_000
    assert [kind for kind in kinds(events) if kind != "status"] == ["log"] * 3000 + ["result", "end"]
    assert len({place for place, _, _ in events}) == len(events)
