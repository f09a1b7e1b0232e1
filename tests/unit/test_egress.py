"""The guarded client: where it connects, where it does not, and how much it reads."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx2
import pytest
from httpcore2 import AnyIOBackend, AsyncNetworkStream, ConnectError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from orchestrator.domain.errors import AddressRefused, TooLarge
from orchestrator.egress import open_client
from orchestrator.egress.addresses import Allowed
from orchestrator.egress.network import GuardedNetwork, is_own


class Dialled(AnyIOBackend):
    """Writes down the addresses that are dialled; reaches only those in `reachable`, all at one local port."""

    def __init__(self, reachable: Iterable[str] = (), port: int = 0) -> None:
        self.addresses: list[str] = []
        self._reachable = set(reachable)
        self._port = port

    async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> AsyncNetworkStream:
        self.addresses.append(host)
        if host not in self._reachable:
            raise ConnectError("unreachable")
        return await super().connect_tcp("127.0.0.1", self._port)


class Resolver:
    """Answers each question with the next list of addresses; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
async def client(httpserver: HTTPServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_client([f"{httpserver.host}:{httpserver.port}"], max_response_bytes=100_000) as opened:
        yield opened


HERE = """
127.0.0.1 localhost 127.1 2130706433 0x7f000001 017700000001 0 0.0.0.0 [::1] [::] [::ffff:127.0.0.1]
[::ffff:7f00:1] [64:ff9b::7f00:1] [2002:7f00:1::] 127。0。0。1 ①②⑦.0.0.1 LOCALHOST localhost. 169.254.169.254 10.0.0.1
""".split()  # noqa: SIM905 - as a list it would be a screen long


@pytest.mark.parametrize("host", HERE)
async def test_no_spelling_of_a_private_address_is_reached(host: str, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("secret")
    async with open_client() as client:
        with pytest.raises((AddressRefused, httpx2.ConnectError, httpx2.InvalidURL)) as refusal:
            await client.get(f"http://{host}:{httpserver.port}/")
    assert httpserver.log == []
    if isinstance(refusal.value, AddressRefused):
        assert "AUREA_ALLOW_PRIVATE_HOSTS" in str(refusal.value)


async def test_the_refusal_names_the_host_and_the_variable_to_set() -> None:
    async with open_client() as client:
        with pytest.raises(AddressRefused, match=r"localhost leads .* AUREA_ALLOW_PRIVATE_HOSTS"):
            await client.get("http://localhost:1/")


async def test_an_address_that_is_refused_is_named_once() -> None:
    async with open_client() as client:
        with pytest.raises(AddressRefused, match=r"^127\.0\.0\.1 is not a public address; "):
            await client.get("http://127.0.0.1:1/")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x/", "ftp://x/", "unix:///run/x", "redis://x:6379/"])
async def test_only_http_and_https_are_spoken(url: str) -> None:
    async with open_client() as client:
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get(url)


async def test_an_allowed_host_is_reached(client: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/x").respond_with_data("hello")
    assert (await client.get(httpserver.url_for("/x"))).text == "hello"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_a_private_address_is_refused(
    client: httpx2.AsyncClient, httpserver: HTTPServer, status: int
) -> None:
    away = Response(status=status, headers={"Location": "http://169.254.169.254/latest/meta-data"})
    httpserver.expect_request("/").respond_with_response(away)
    with pytest.raises(AddressRefused):
        await client.get(httpserver.url_for("/"), follow_redirects=True)


async def test_redirects_are_not_followed_unless_asked(client: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_response(Response(status=302, headers={"Location": "/elsewhere"}))
    assert (await client.get(httpserver.url_for("/"))).status_code == 302
    assert len(httpserver.log) == 1


async def test_the_address_that_was_checked_is_the_one_dialled(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_handler(lambda request: Response(request.headers["Host"]))
    dialled = Dialled(["93.184.215.14"], httpserver.port)
    network = GuardedNetwork(Allowed([]), Resolver(["93.184.215.14"], ["127.0.0.1"]), dialled)
    async with open_client(network=network) as client:
        assert (await client.get("http://rebind.example/")).text == "rebind.example"
    assert dialled.addresses == ["93.184.215.14"]


async def test_a_name_that_later_turns_private_is_refused() -> None:
    dialled = Dialled()
    network = GuardedNetwork(Allowed([]), Resolver(["93.184.215.14"], ["127.0.0.1"]), dialled)
    async with open_client(network=network) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://rebind.example/")
        with pytest.raises(AddressRefused):
            await client.get("http://rebind.example/")
    assert dialled.addresses == ["93.184.215.14"]


async def test_one_private_address_among_public_ones_refuses_them_all() -> None:
    dialled = Dialled()
    network = GuardedNetwork(Allowed([]), Resolver(["93.184.215.14", "::1"]), dialled)
    async with open_client(network=network) as client:
        with pytest.raises(AddressRefused, match=r"both\.example leads"):
            await client.get("http://both.example/")
    assert dialled.addresses == []


async def test_a_public_address_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_own("127.0.0.1")
    assert not is_own("93.184.215.14")
    dialled = Dialled()
    network = GuardedNetwork(Allowed([]), Resolver(["93.184.215.14"]), dialled)
    monkeypatch.setattr("orchestrator.egress.network.is_own", lambda address: address == "93.184.215.14")
    async with open_client(network=network) as client:
        with pytest.raises(AddressRefused, match="this machine itself"):
            await client.get("http://ourselves.example/")
    assert dialled.addresses == []


async def test_the_next_address_is_tried_when_one_does_not_answer(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("second")
    dialled = Dialled(["93.184.215.14"], httpserver.port)
    network = GuardedNetwork(Allowed([]), Resolver(["2606:4700::1", "93.184.215.14"]), dialled)
    async with open_client(network=network) as client:
        assert (await client.get("http://two.example/")).text == "second"
    assert dialled.addresses == ["2606:4700::1", "93.184.215.14"]


async def test_a_connection_that_hangs_ends_with_the_connect_timeout() -> None:
    async def never(host: str, port: int) -> list[str]:
        return await asyncio.Future()

    async with open_client(network=GuardedNetwork(Allowed([]), never)) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get("http://slow.example/", timeout=0.05)


async def test_a_name_nobody_knows_is_a_connect_error() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    async with open_client(network=GuardedNetwork(Allowed([]), unknown)) as client:
        with pytest.raises(httpx2.ConnectError, match=r"nowhere\.example cannot be resolved"):
            await client.get("http://nowhere.example/")


async def test_an_answer_is_cut_off_at_its_bound(client: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(b"x" * 100_001)
    with pytest.raises(TooLarge, match="100000 bytes"):
        await client.get(httpserver.url_for("/"))


async def test_a_compressed_bomb_is_counted_as_it_unfolds(client: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    httpserver.expect_request("/").respond_with_data(bomb, headers={"Content-Encoding": "gzip"})
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        await client.get(httpserver.url_for("/"))


async def test_a_request_sets_its_own_bound(client: httpx2.AsyncClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(b"x" * 200_000)
    answer = await client.get(httpserver.url_for("/"), extensions={"max_response_bytes": 200_000})
    assert len(answer.content) == 200_000
    with pytest.raises(TooLarge):
        await client.get(httpserver.url_for("/"), extensions={"max_response_bytes": 10})


async def test_the_client_is_usable_after_an_answer_that_was_too_large(
    client: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/large").respond_with_data(b"x" * 200_000)
    httpserver.expect_request("/small").respond_with_data(b"x")
    for _ in range(5):
        with pytest.raises(TooLarge):
            await client.get(httpserver.url_for("/large"))
    assert (await client.get(httpserver.url_for("/small"))).content == b"x"


async def test_the_environment_is_not_asked_for_a_proxy(
    client: httpx2.AsyncClient, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/").respond_with_data("direct")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with open_client([f"{httpserver.host}:{httpserver.port}"]) as fresh:
        assert (await fresh.get(httpserver.url_for("/"))).text == "direct"


async def test_a_line_break_in_a_url_or_header_sends_nothing(
    client: httpx2.AsyncClient, httpserver: HTTPServer
) -> None:
    with pytest.raises(httpx2.InvalidURL):
        await client.get(f"{httpserver.url_for('/')}x\r\nSET a b")
    with pytest.raises(httpx2.LocalProtocolError):
        await client.get(httpserver.url_for("/"), headers={"X": "a\r\nSET a b"})
    assert httpserver.log == []


async def test_headers_of_the_moment_go_along_unless_the_caller_set_them(httpserver: HTTPServer) -> None:
    seen: list[str] = []

    def note(request: Request) -> Response:
        seen.append(request.headers["traceparent"])
        return Response()

    httpserver.expect_request("/").respond_with_handler(note)
    allowed = [f"{httpserver.host}:{httpserver.port}"]
    async with open_client(allowed, headers=lambda: {"traceparent": "now"}) as client:
        await client.get(httpserver.url_for("/"))
        await client.get(httpserver.url_for("/"), headers={"Traceparent": "mine"})
    assert seen == ["now", "mine"]
