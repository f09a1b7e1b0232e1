"""Whom outgoing requests believe: the authorities of this machine, read before the first request that needs them."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from pytest_httpserver import HTTPServer

from orchestrator.egress import client as egress
from orchestrator.egress import open_client


@asynccontextmanager
async def served(certificate: Path) -> AsyncIterator[int]:
    """A server that answers every request over TLS; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """What one test made this process believe, no other does."""
    egress._trust.cache_clear()
    yield
    egress._trust.cache_clear()


async def test_nobody_is_believed_whom_no_authority_of_this_machine_vouches_for(certificate: Path) -> None:
    async with served(certificate) as port, open_client([f"localhost:{port}"]) as http:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await http.get(f"https://localhost:{port}/")


async def test_the_authorities_are_read_once_beside_the_loop_when_tls_is_first_spoken(
    certificate: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[int] = []

    def read(**_: object) -> ssl.SSLContext:
        readers.append(threading.get_ident())
        return ssl.create_default_context(cafile=certificate)

    monkeypatch.setattr(httpx2, "create_ssl_context", read)
    httpserver.expect_request("/").respond_with_data("plain")
    async with served(certificate) as port, open_client([f"localhost:{port}", httpserver.host]) as http:
        assert (await http.get(httpserver.url_for("/"))).text == "plain"
        assert readers == []
        for _ in range(2):
            assert (await http.get(f"https://localhost:{port}/")).text == "ok"
    assert len(readers) == 1
    assert readers[0] != threading.get_ident()


async def test_every_client_of_a_process_believes_the_same(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda **_: context)
    async with served(certificate) as port:
        for _ in range(2):
            async with open_client([f"localhost:{port}"]) as http:
                assert (await http.get(f"https://localhost:{port}/")).text == "ok"
