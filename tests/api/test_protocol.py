"""One connection is bounded in what it sends and in how long it takes, before the application sees anything of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import orjson
import pytest
import pytest_asyncio

from app import protocol
from tests.api.door import TOKEN
from tests.api.live_server import Live, serve

END = b"\r\n\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: aurea.test\r\n"
POST = f"POST /tasks HTTP/1.1\r\nHost: aurea.test\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest_asyncio.fixture
async def live(database_url: str, redis_url: str) -> AsyncIterator[Live]:
    async with serve(database_url, redis_url) as running:
        yield running


async def talk(live: Live, *parts: bytes) -> bytes:
    """Send the parts and return all that comes until the server closes, or cuts it off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    answer = b""
    with suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
    with suppress(ConnectionError):
        while data := await asyncio.wait_for(reader.read(2**20), 20):
            answer += data
    writer.close()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def statuses(answers: bytes) -> list[int]:
    return [int(part) for part in re.findall(rb"HTTP/1.1 ([0-9]{3}) ", answers)]


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([GET, b"X: " + b"a" * 40_000], 431),
        ([GET, *[b"X-%d: 1\r\n" % n for n in range(200)]], 431),
        ([GET, *[b"X-%d: %s\r\n" % (n, b"a" * 5000) for n in range(20)]], 431),
        ([b"GET /livez?" + b"a" * 9000, b" HTTP/1.1\r\n\r\n"], 414),
        ([b"GET /livez?", *[b"a" * 1000] * 20], 414),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 100], 400),
        ([GET, b"X: a\x00b", END], 400),
        ([GET, b"X: a\x1b[31mb", END], 400),
        ([GET, b"Content-Length: 1\r\nContent-Length: 2", END], 400),
        ([GET, b"Content-Length: 3\r\nTransfer-Encoding: chunked", END], 400),
        ([GET, b"Content-Length: 99999999999999999999999", END], 400),
        ([GET, b"X : a", END], 400),
        ([b"GET /livez HTTP/1.1\r\n\r\n"], 400),
        ([GET, b"Host: aurea.test", END], 400),
        ([b"GET /livez HTTP/1.1\r\nHost: a/b", END], 400),
        ([b"GET /livez HTTP/2.0\r\nHost: a", END], 400),
        ([b"GET /livez\r\n\r\n"], 400),
        ([b"GET /livez#a HTTP/1.1\r\nHost: a", END], 400),
        ([POST, b"Transfer-Encoding: identity", END], 400),
        ([b"POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked", END], 400),
        ([POST, CHUNKED, b"zz\r\n"], 400),
        ([POST, CHUNKED, b"2\r\n{}}\r\n0\r\n\r\n"], 400),
    ],
)
async def test_a_head_beyond_its_bounds_is_refused_and_the_connection_ends(
    live: Live, parts: list[bytes], wanted: int
) -> None:
    answer = await talk(live, *parts)
    assert status(answer) == wanted
    problem = orjson.loads(answer.partition(END)[2])
    assert problem["status"] == wanted
    assert re.fullmatch("[0-9a-f]{32}", problem["trace_id"])
    assert b"application/problem+json" in answer


async def test_a_head_within_its_bounds_is_not(live: Live) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 300) for n in range(95))
    answer = await talk(live, GET, headers[:10_000], headers[10_000:], b"Connection: close", END)
    assert status(answer) == 200
    target = b"/livez?" + b"a" * 8000
    for head in (b" HTTP/1.1\r\nHost: [2001:db8::7]:8000\r\nConnection: close", b" HTTP/1.0"):
        assert status(await talk(live, b"GET " + target + head + END)) == 200


@pytest.mark.parametrize(
    ("sent", "wanted"), [(b"", b""), (b"\r\n", b""), (GET, b"HTTP/1.1 408"), (GET[:20], b"HTTP/1.1 408")]
)
async def test_a_head_that_does_not_come_is_given_up(
    live: Live, monkeypatch: pytest.MonkeyPatch, sent: bytes, wanted: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    answer = await talk(live, sent)
    assert answer.startswith(wanted)
    assert bool(answer) == bool(wanted)


async def test_the_head_of_a_later_request_has_its_time_too(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(GET + b"\r\n")
    assert await reader.readuntil(b'{"status":"ok"}')
    writer.write(GET)  # well within the time that a connection is kept for another request
    assert (await reader.read()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_body_that_drips_past_the_end_of_its_time_is_cut(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.1)
    assert await talk(live, POST + b"Content-Length: 10\r\n\r\n{") == b""


async def test_a_body_that_nobody_reads_is_thrown_away_and_then_cut(live: Live) -> None:
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    answer = await asyncio.wait_for(talk(live, GET + CHUNKED, *[chunk] * 2000), 20)
    assert answer == b"" or status(answer) == 200  # the answer may be lost with a connection that is cut


async def test_a_body_that_nobody_reads_and_that_stops_is_cut(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.1)
    answer = await talk(live, GET + b"Content-Length: 100\r\n\r\n{")
    assert status(answer) == 200


async def test_large_bodies_follow_each_other_on_one_connection(live: Live) -> None:
    for size in (100, 40_000, 70_000, 600_000, 100):
        answer = await live.http.post("/tasks", json={"type": "greet", "payload": {"text": "a" * size}})
        assert answer.status_code == 201


async def test_trailers_are_no_headers_and_have_an_end(live: Live) -> None:
    body = b'%x\r\n{"type":"greet"}\r\n0\r\nIdempotency-Key: late\r\n\r\n' % len(b'{"type":"greet"}')
    answer = await talk(live, POST + b"Connection: close\r\n" + CHUNKED + body)
    assert status(answer) == 201
    assert orjson.loads(answer.partition(END)[2])["idempotency_key"] is None
    endless = [b"0\r\nX: ", *[b"a" * 0x10000] * 100]
    assert await asyncio.wait_for(talk(live, POST + CHUNKED, *endless), 20) == b""


async def test_requests_that_come_together_are_answered_in_their_order(live: Live) -> None:
    first = POST + b'Content-Length: 16\r\n\r\n{"type":"greet"}'
    answer = await talk(live, first + GET + b"\r\n" + first + GET + b"Connection: close" + END)
    assert statuses(answer) == [201, 200, 201, 200]


async def test_who_asks_for_the_head_of_a_health_page_gets_that_and_no_body(live: Live) -> None:
    asked = [GET.replace(b"GET /livez", b"HEAD " + path) for path in (b"/livez", b"/readyz", b"/health", b"/livez?a=b")]
    closing = GET + b"Connection: close" + END
    answer = await talk(live, b"".join(head + b"\r\n" for head in asked) + closing)
    *heads, body = answer.split(END)
    assert [status(head) for head in heads] == [200] * 5
    assert body == b'{"status":"ok"}'
    lengths = [int(re.findall(rb"content-length: ([0-9]+)", head)[0]) for head in heads]
    assert lengths[0] == lengths[3] == lengths[4] == len(body)
    assert min(lengths[1:3]) > len(b'{"status":"ok","dependencies":{}}')
    assert all(b"content-type: application/json" in head for head in heads)
    other = await live.http.head("/tasks")
    assert (other.status_code, other.headers["allow"], other.content) == (405, "GET, POST", b"")


@pytest.mark.parametrize("fault", [b"nonsense" + END, b"GET /livez HTTP/1.1" + END, GET + b"X : a" + END])
async def test_a_request_that_cannot_be_read_is_told_so_behind_those_before_it(live: Live, fault: bytes) -> None:
    first = POST + b'Content-Length: 16\r\n\r\n{"type":"greet"}'
    bare = GET.replace(b"GET", b"HEAD") + b"\r\n"  # its answer has no body to leave with
    answer = await talk(live, first + GET + b"\r\n" + bare + fault + first)
    assert statuses(answer) == [201, 200, 200, 400]
    assert len((await live.http.get("/tasks")).json()["items"]) == 1, "nothing behind the fault was read"


async def test_a_broken_body_is_refused_in_its_turn_and_makes_no_task(live: Live) -> None:
    broken = POST + CHUNKED + b'10\r\n{"type":"greet"}\r\nzz\r\n'
    assert statuses(await talk(live, POST + b"Content-Length: 2\r\n\r\n{}" + broken)) == [422, 400]
    assert (await live.http.get("/tasks")).json()["items"] == []


async def test_behind_an_answer_comes_no_second_one_for_the_rest_of_its_request(live: Live) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(GET + CHUNKED)
    answer = await reader.readuntil(b'{"status":"ok"}')
    writer.write(b"zz\r\n")
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 20) == b"", answer
    writer.close()


async def test_who_sends_on_while_he_is_refused_can_read_why(live: Live) -> None:
    answer = await talk(live, GET + b"X: " + b"a" * 40_000, *[b"a" * 1_000] * 20)
    assert status(answer) == 431


async def test_who_is_refused_and_sends_on_without_end_is_cut(live: Live) -> None:
    await asyncio.wait_for(talk(live, b"nonsense" + END, *[b"a" * 0x10000] * 2_000), 20)


async def test_an_answer_that_is_not_taken_is_dropped(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "FLUSH_SECONDS", 0.2)
    lost, ours = asyncio.Event(), None
    told = protocol.Bounded.connection_lost

    def tell(self: protocol.Bounded, error: Exception | None) -> None:
        told(self, error)
        if self.client == ours:
            lost.set()

    monkeypatch.setattr(protocol.Bounded, "connection_lost", tell)
    for _ in range(30):
        await live.http.post("/tasks", json={"type": "greet", "payload": {"text": "a" * 500_000}})
    _, writer = await asyncio.open_connection("127.0.0.1", live.port, limit=1024)
    ours = writer.get_extra_info("sockname")
    ask = f"GET /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    writer.write(ask.encode())
    await asyncio.wait_for(lost.wait(), 20)  # though its reader is still there, and has taken nothing
    writer.transport.abort()


class Wire:
    """What was written, packet by packet, and how it ended."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.packets.append(data)

    def close(self) -> None:
        self.packets.append(b"end")


async def test_a_head_leaves_with_its_body_and_waits_for_none_that_comes_later() -> None:
    loop, whole, stream, cut = asyncio.get_running_loop(), Wire(), Wire(), Wire()
    answer = protocol._Joined(whole, loop)  # type: ignore[arg-type]
    answer.write(b"head ")
    answer.write(b"body")
    answer.write(b"more")
    ended = protocol._Joined(cut, loop)  # type: ignore[arg-type]
    ended.write(b"head")
    ended.close()
    protocol._Joined(stream, loop).write(b"head")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert (whole.packets, cut.packets, stream.packets) == ([b"head body", b"more"], [b"head", b"end"], [b"head"])
