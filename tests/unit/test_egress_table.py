"""More than seventy ways to write an address that is not public: tried directly, by redirects, by names that change.

The dialler writes down every address it is asked for. It reaches one public address, where a server of ours listens:
nothing else may ever be dialled.
"""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from httpcore2 import AnyIOBackend, AsyncNetworkStream
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from orchestrator.domain.errors import AddressRefused
from orchestrator.egress import open_client
from orchestrator.egress.addresses import Allowed
from orchestrator.egress.network import GuardedNetwork

PUBLIC = "93.184.215.14"
HOSTS = """
127.0.0.1 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 0 0.0.0.0 0x0
127。0。0。1 １２７.0.0.1 ①②⑦.0.0.1 10.0.0.1 10.255.255.255 012.1.1.1 172.16.0.1 172.31.255.255 192.168.0.1 3232235521
0xc0a80001 169.254.169.254 2852039166 0xa9fea9fe 169.254.170.2 100.64.0.1 100.100.100.200 100.127.255.255 192.0.0.1
192.0.0.170 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255 [::] [::1] [0:0:0:0:0:0:0:1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:a9fe:a9fe]
[::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::7f00:1] [64:ff9b:1::808:808] [2002:7f00:1::]
[2002:a9fe:a9fe::1] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2001:db8::1] [2001:20::1] [3fff::1] [100::1] [fc00::1]
[fd00:ec2::254] [fd12:3456::1] [fe80::1] [fec0::1] [ff02::1] [ff0e::1] [5f00::1] [2a00:1450:4001::5efe:7f00:1]
[2a00:1450:4001::200:5efe:a9fe:a9fe] localhost LOCALHOST. metadata.google.internal localtest.me 127.0.0.1.nip.io
redis db
""".split()  # noqa: SIM905 - as a list it would be two screens long
NAMES = {
    "localhost": ["::1", "127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "localtest.me": ["127.0.0.1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "redis": ["10.0.0.7"],
    "db": ["fd00::7"],
    "public.example": [PUBLIC],
}
OTHER_SCHEMES = "file:///etc/passwd gopher://127.0.0.1:6379/_x ftp://127.0.0.1/ unix:///run/x data:,x ws://127.0.0.1/"
REFUSALS = (
    AddressRefused, httpx2.ConnectError, httpx2.InvalidURL, httpx2.RemoteProtocolError, httpx2.UnsupportedProtocol,
)  # fmt: skip
ORIGINS = {"http://public.example/": True, "http://other.example/": False, "http://public.example:81/": False}


async def addresses_of(host: str, port: int) -> list[str]:
    """Resolve as the machine does, without asking anybody: the names above, and numbers however they are written."""
    known = NAMES.get(host.rstrip(".").lower())
    if known is not None:
        return known
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(address[0]) for *_, address in found]


@dataclass
class Outside(AnyIOBackend):
    """The internet: one public address, behind which is a server of ours."""

    port: int
    dialled: list[str]

    async def connect_tcp(self, host: str, port: int, *args: object, **options: object) -> AsyncNetworkStream:
        self.dialled.append(host)
        assert host == PUBLIC, f"{host} was dialled"
        return await super().connect_tcp("127.0.0.1", self.port)


@pytest.fixture
def outside(httpserver: HTTPServer) -> Outside:
    def answer(request: Request) -> Response:
        to = request.args.get("to")
        if to is None:
            return Response("reached")
        return Response(status=int(request.args["status"]), headers={"Location": to})

    httpserver.expect_request("/").respond_with_handler(answer)
    return Outside(httpserver.port, [])


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_client(network=GuardedNetwork(Allowed([]), addresses_of, outside)) as opened:
        yield opened


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTS)) >= 75


@pytest.mark.parametrize("host", HOSTS)
async def test_an_address_that_is_not_public_is_never_dialled(
    client: httpx2.AsyncClient, outside: Outside, host: str
) -> None:
    for url in (f"http://{host}/", f"https://{host}/", f"http://user@{host}:6379/"):
        with pytest.raises(REFUSALS):
            await client.get(url)
    assert outside.dialled == []
    for status in (301, 302, 303, 307, 308):
        with pytest.raises(REFUSALS):
            await client.post(
                "http://public.example/", params={"to": f"http://{host}:8000/", "status": status}, follow_redirects=True
            )
    assert set(outside.dialled) == {PUBLIC}


@pytest.mark.parametrize("url", OTHER_SCHEMES.split())
async def test_a_redirect_to_another_scheme_is_not_followed(
    client: httpx2.AsyncClient, outside: Outside, url: str
) -> None:
    with pytest.raises(REFUSALS):
        await client.get("http://public.example/", params={"to": url, "status": 302}, follow_redirects=True)
    assert outside.dialled == [PUBLIC]


@pytest.mark.parametrize("host", HOSTS)
async def test_a_name_that_changes_between_two_questions_leads_nowhere(outside: Outside, host: str) -> None:
    try:
        private = await addresses_of(host.strip("[]").encode("idna").decode(), 80)
    except (OSError, UnicodeError):
        return  # not even an address: tried directly above
    for answers in ([[PUBLIC], private], [[PUBLIC, *private]], [[*private, PUBLIC]]):
        asked = iter(answers)
        last = answers[-1]

        async def answer(name: str, port: int, asked=asked, last=last) -> list[str]:
            return next(asked, last)

        async with open_client(network=GuardedNetwork(Allowed([]), answer, outside)) as client:
            for attempt in range(2):
                # Each request has a connection of its own, so each asks anew.
                try:
                    reached = await client.get("http://rebind.example/", headers={"Connection": "close"})
                except AddressRefused:
                    continue
                assert (attempt, reached.text, answers[0]) == (0, "reached", [PUBLIC])


@pytest.mark.parametrize("host", ["public.example", PUBLIC, f"[64:ff9b::{PUBLIC}]", f"[::ffff:{PUBLIC}]"])
async def test_a_public_address_is_reached_however_it_is_written(outside: Outside, host: str) -> None:
    class Anywhere(Outside):
        async def connect_tcp(self, host: str, port: int, *args: object, **options: object) -> AsyncNetworkStream:
            return await AnyIOBackend.connect_tcp(self, "127.0.0.1", self.port)

    network = GuardedNetwork(Allowed([]), addresses_of, Anywhere(outside.port, []))
    async with open_client(network=network) as client:
        assert (await client.get(f"http://{host}/")).text == "reached"


async def test_a_redirect_to_another_host_does_not_take_the_authorization_along(
    client: httpx2.AsyncClient, outside: Outside, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMES, "other.example", [PUBLIC])
    secret = {"Authorization": "Bearer secret-1", "Cookie": "a=secret-1"}
    for target, kept in ORIGINS.items():
        httpserver.clear_log()
        sent = {"to": target, "status": 307}
        await client.get("http://public.example/", params=sent, headers=secret, follow_redirects=True)
        second = httpserver.log[1][0]
        assert ("secret-1" in str(second.headers)) is kept, target
        assert second.headers["Host"] == httpx2.URL(target).netloc.decode()


async def test_redirects_in_a_circle_end(client: httpx2.AsyncClient, outside: Outside, httpserver: HTTPServer) -> None:
    to = "http://public.example/?status=302&to=%2F%3Fstatus%3D302%26to%3Dhttp%253A%252F%252Fpublic.example%252F"
    httpserver.expect_request("/circle").respond_with_response(Response(status=302, headers={"Location": "/circle"}))
    with pytest.raises(httpx2.TooManyRedirects):
        await client.get("http://public.example/circle", follow_redirects=True)
    assert len(httpserver.log) <= 6
    assert (await client.get(to, follow_redirects=True)).text == "reached"
