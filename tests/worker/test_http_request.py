"""http_request against a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import orjson
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handlers.http_request import http_request
from orchestrator.domain.errors import InvalidInput
from orchestrator.egress import open_client
from orchestrator.testing import TaskRun, run_task


@pytest.fixture
async def http(httpserver: HTTPServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_client([f"{httpserver.host}:{httpserver.port}"]) as client:
        yield client


async def call(http: httpx2.AsyncClient, url: str, attempt: int = 1, **payload: Any) -> TaskRun:
    return await run_task(http_request, {"url": url, **payload}, attempt=attempt, http=http)


async def test_a_json_answer_is_the_result(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/x", method="GET").respond_with_json(
        {"a": [1]}, headers={"ETag": '"7"', "X-Secret": "s"}
    )
    result = (await call(http, httpserver.url_for("/x"))).result
    assert result["status"] == 200
    assert result["json"] == {"a": [1]}
    assert result["headers"] == {"content-type": "application/json", "etag": '"7"'}
    assert 0 <= result["elapsed_ms"] < 5_000
    assert "text" not in result


async def test_any_other_answer_is_text(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(
        "grün".encode("latin-1"), content_type="text/plain; charset=latin-1"
    )
    assert (await call(http, httpserver.url_for("/"))).result["text"] == "grün"


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"{broken", "application/json", "{broken"),
        (b'{"a": NaN}', "application/json", '{"a": NaN}'),
        (b'"\\ud800"', "application/json", '"\\ud800"'),
        (b'"\\u0000"', "application/json", '"\\u0000"'),
        (b"a\0b\xff", "application/octet-stream", "a\ufffdb\ufffd"),
        (b"abc", "text/plain; charset=zlib_codec", "abc"),
        (b"abc", "text/plain; charset=nonsense", "abc"),
        (b"\\ud800", "text/plain; charset=unicode_escape", "?"),
        (b"", "application/json", ""),
    ],
)
async def test_an_answer_that_cannot_be_kept_as_json_is_kept_as_text(
    http: httpx2.AsyncClient, httpserver: HTTPServer, body: bytes, content_type: str, text: str
) -> None:
    httpserver.expect_request("/").respond_with_data(body, content_type=content_type)
    assert (await call(http, httpserver.url_for("/"))).result["text"] == text


async def test_method_headers_and_json_are_sent(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/", method="POST").respond_with_json({}, status=201)
    run = await call(http, httpserver.url_for("/"), method="post", headers={"X-Api-Key": "k"}, json={"n": None})
    request = httpserver.log[0][0]
    assert run.result["status"] == 201
    assert request.headers["X-Api-Key"] == "k"
    assert request.headers["Content-Type"] == "application/json"
    assert orjson.loads(request.get_data()) == {"n": None}


async def test_text_is_sent_as_it_is(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/", method="PUT").respond_with_data("")
    await call(http, httpserver.url_for("/"), method="PUT", text="grün", headers={"content-type": "text/markdown"})
    request = httpserver.log[0][0]
    assert request.get_data() == "grün".encode()
    assert request.headers["Content-Type"] == "text/markdown"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_call_that_changes_something_has_one_key_for_all_attempts(
    http: httpx2.AsyncClient, httpserver: HTTPServer, method: str
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    for attempt in (1, 2):
        await call(http, httpserver.url_for("/"), attempt, method=method)
    first, second = (request.headers["Idempotency-Key"] for request, _ in httpserver.log)
    assert first == second
    assert first.startswith("aurea-")


async def test_a_key_of_the_caller_is_kept_and_a_read_has_none(
    http: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    await call(http, httpserver.url_for("/"), method="POST", headers={"idempotency-key": "mine"})
    await call(http, httpserver.url_for("/"))
    sent, read = (request.headers for request, _ in httpserver.log)
    assert sent["Idempotency-Key"] == "mine"
    assert "Idempotency-Key" not in read


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_a_status_that_may_pass_is_tried_again(
    http: httpx2.AsyncClient, httpserver: HTTPServer, status: int
) -> None:
    httpserver.expect_request("/").respond_with_data("busy", status=status)
    run = await call(http, httpserver.url_for("/"))
    assert run.error is not None
    assert run.error.retryable
    assert f"answered {status}" in run.error.message
    assert run.retry_after_seconds is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 304])
async def test_any_other_unexpected_status_is_final_and_quotes_the_answer(
    http: httpx2.AsyncClient, httpserver: HTTPServer, status: int
) -> None:
    body = "" if status == 304 else "no such\n\nthing " + "x" * 5_000
    httpserver.expect_request("/").respond_with_data(body, status=status)
    run = await call(http, httpserver.url_for("/"))
    assert run.error is not None
    assert not run.error.retryable
    assert f"answered {status}" in run.error.message
    assert status == 304 or "no such thing" in run.error.message
    assert len(run.error.message) < 700


async def test_retry_after_is_obeyed(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", status=429, headers={"Retry-After": "17"})
    assert (await call(http, httpserver.url_for("/"))).retry_after_seconds == 17


@pytest.mark.parametrize(
    ("expected", "status", "succeeds"),
    [(404, 404, True), ("404", 404, True), ([200, "4xx"], 404, True), ("5xx", 503, True), (204, 200, False)],
)
async def test_the_caller_says_what_is_expected(
    http: httpx2.AsyncClient, httpserver: HTTPServer, expected: Any, status: int, succeeds: bool
) -> None:
    httpserver.expect_request("/").respond_with_data("", status=status)
    run = await call(http, httpserver.url_for("/"), expected_status=expected)
    assert (run.error is None) is succeeds


async def test_a_server_that_is_away_is_tried_again(httpserver: HTTPServer) -> None:
    async with open_client(["127.0.0.1:1"]) as http:
        run = await call(http, "http://127.0.0.1:1/")
    assert run.error is not None
    assert run.error.retryable


async def test_an_answer_that_drips_ends_at_the_timeout_and_is_tried_again() -> None:
    hung_up = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 0.02)
        writer.close()
        hung_up.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_client([f"127.0.0.1:{port}"]) as http:
            run = await asyncio.wait_for(call(http, f"http://127.0.0.1:{port}/", timeout_seconds=0.2), 2)
        await asyncio.wait_for(hung_up.wait(), 5)
    assert run.error is not None
    assert run.error.retryable
    assert "0.2 s" in run.error.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/", "http://0/"])
async def test_a_private_address_is_refused_for_good(url: str) -> None:
    async with open_client() as http:
        run = await call(http, url)
    assert run.error is not None
    assert not run.error.retryable
    assert "AUREA_ALLOW_PRIVATE_HOSTS" in run.error.message


async def test_a_redirect_is_not_followed_unless_asked(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    moved = Response(status=302, headers={"Location": "/there?key=canary"})
    httpserver.expect_request("/here").respond_with_response(moved)
    httpserver.expect_request("/there").respond_with_data("arrived")
    run = await call(http, httpserver.url_for("/here"))
    assert run.error is not None
    assert "follow_redirects" in run.error.message
    assert "canary" not in run.error.message
    assert (await call(http, httpserver.url_for("/here"), follow_redirects=1)).result["text"] == "arrived"


async def test_redirects_end_at_the_number_asked_for(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_response(Response(status=302, headers={"Location": "/"}))
    run = await call(http, httpserver.url_for("/"), follow_redirects=3)
    assert run.error is not None
    assert not run.error.retryable
    assert len(httpserver.log) == 4


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "http://localhost:1/", "file:///etc/passwd", "ftp://x/"]
)
async def test_a_redirect_to_where_nobody_may_go_is_final(
    http: httpx2.AsyncClient, httpserver: HTTPServer, location: str
) -> None:
    httpserver.expect_request("/").respond_with_response(Response(status=307, headers={"Location": location}))
    run = await call(http, httpserver.url_for("/"), follow_redirects=1)
    assert run.error is not None
    assert not run.error.retryable


async def test_headers_meant_for_one_host_do_not_reach_another(httpserver: HTTPServer) -> None:
    def move(request: Request) -> Response:
        here = "localhost" if request.headers["Host"].startswith("127.0.0.1") else "127.0.0.1"
        return Response(status=307, headers={"Location": f"http://{here}:{httpserver.port}/there"})

    httpserver.expect_request("/here").respond_with_handler(move)
    httpserver.expect_request("/there").respond_with_data("")
    secret = {"Authorization": "Bearer canary", "X-Api-Key": "canary", "Cookie": "canary=1", "Accept": "text/x"}
    async with open_client([f"127.0.0.1:{httpserver.port}", f"localhost:{httpserver.port}"]) as http:
        url = httpserver.url_for("/here")
        await call(http, url, method="POST", text="x", headers=secret, follow_redirects=1)
    first, second = (request.headers for request, _ in httpserver.log)
    assert "canary" in str(first)
    assert "canary" not in str(second)
    assert "Idempotency-Key" not in second
    assert second["Accept"] == "text/x"


async def test_one_task_cookie_is_not_sent_by_the_next(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", headers={"Set-Cookie": "session=canary"})
    for _ in range(2):
        await call(http, httpserver.url_for("/"))
    assert all("Cookie" not in request.headers for request, _ in httpserver.log)


async def test_an_answer_over_its_bound_is_final(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(b"x" * 1_001)
    run = await call(http, httpserver.url_for("/"), max_response_bytes=1_000)
    assert run.error is not None
    assert not run.error.retryable
    assert "1000 bytes" in run.error.message


async def test_no_secret_is_told_or_stands_in_an_error(http: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/good").respond_with_data("")
    httpserver.expect_request("/bad").respond_with_data("", status=400)
    for path in ("/good", "/bad"):
        url = f"{httpserver.url_for(path)}?key=canary"
        run = await call(http, url, method="POST", text="canary", headers={"Authorization": "canary"})
        assert "canary" not in str(run.logs)
        assert "canary" not in str(run.error)
        assert path in str(run.logs)


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({}, "/payload/url"),
        ({"url": "example.com"}, "/payload/url"),
        ({"url": "file:///etc/passwd"}, "/payload/url"),
        ({"url": "http://"}, "/payload/url"),
        ({"url": "http://user:secret@example.com/"}, "/payload/url"),
        ({"url": "http://example.com/\r\nX: y"}, "/payload/url"),
        ({"url": "http://x/", "method": "TRACE"}, "/payload/method"),
        ({"url": "http://x/", "headers": {"X": "a\r\nY: b"}}, "/payload/headers"),
        ({"url": "http://x/", "headers": {"X Y": "a"}}, "/payload/headers"),
        ({"url": "http://x/", "headers": {"host": "a"}}, "/payload/headers"),
        ({"url": "http://x/", "json": 1, "text": "x"}, "/payload"),
        ({"url": "http://x/", "expected_status": 42}, "/payload/expected_status"),
        ({"url": "http://x/", "expected_status": []}, "/payload/expected_status"),
        ({"url": "http://x/", "timeout_seconds": 0}, "/payload/timeout_seconds"),
        ({"url": "http://x/", "follow_redirects": 6}, "/payload/follow_redirects"),
        ({"url": "http://x/", "max_response_bytes": 10**9}, "/payload/max_response_bytes"),
        ({"url": "http://x/", "body": "x"}, "/payload/body"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_by_field(payload: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        http_request.validate(payload)
    assert refusal.value.issues[0].pointer.startswith(pointer)
    assert "secret" not in str(refusal.value)
