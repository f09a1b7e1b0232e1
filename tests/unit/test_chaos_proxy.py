"""The proxy breaks one link and mends it: what is cut, held, late, lost or swallowed, and that nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from orchestrator.chaos.proxy import Proxy, Way

SILENCE_SECONDS = 0.15


class Client:
    """One connection that asks an echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, text: bytes = b"hello") -> bytes | None:
        """The answer; None for silence, empty for an end."""
        self.writer.write(text)
        return await self.hear()

    async def hear(self) -> bytes | None:
        try:
            return await asyncio.wait_for(self.reader.read(100), SILENCE_SECONDS)
        except TimeoutError:
            return None
        except ConnectionResetError:
            return b""


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(100):
            writer.write(chunk)
    except ConnectionResetError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    opened = Proxy(server.sockets[0].getsockname()[1])
    await opened.open()
    yield opened
    await opened.close()
    server.close()
    await asyncio.sleep(0.05)  # the server's ends close


CLIENTS: list[Client] = []


async def reach(proxy: Proxy) -> Client:
    CLIENTS.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
    return CLIENTS[-1]


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    while CLIENTS:
        writer = CLIENTS.pop().writer
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_an_honest_link_passes_everything_on(proxy: Proxy) -> None:
    client = await reach(proxy)
    assert await client.ask() == b"hello"
    client.writer.write(b"x" * 1_000_000)
    heard = 0
    while heard < 1_000_000:
        heard += len(await client.reader.read(65536))


async def test_a_cut_link_resets_what_there_is_and_what_comes(proxy: Proxy) -> None:
    client = await reach(proxy)
    assert await client.ask() == b"hello"
    proxy.cut()
    assert await client.hear() == b""
    assert await (await reach(proxy)).ask() == b""
    proxy.heal()
    assert await (await reach(proxy)).ask() == b"hello"


@pytest.mark.parametrize("way", list(Way))
async def test_what_is_held_arrives_late(proxy: Proxy, way: Way) -> None:
    client = await reach(proxy)
    assert await client.ask() == b"hello"
    proxy.hold(way)
    assert await client.ask() is None
    newcomer = await reach(proxy)
    assert await newcomer.ask(b"new") is None
    proxy.heal()
    assert (await client.hear(), await newcomer.hear()) == (b"hello", b"new")


@pytest.mark.parametrize("way", list(Way))
async def test_a_connection_that_lost_something_ends_when_the_link_heals(proxy: Proxy, way: Way) -> None:
    client, quiet = await reach(proxy), await reach(proxy)
    assert await client.ask() == await quiet.ask() == b"hello"
    proxy.lose(way)
    assert await client.ask() is None
    proxy.heal()
    assert await client.hear() == b""
    assert await quiet.ask() == b"hello"


async def test_one_reply_is_swallowed_with_its_connection(proxy: Proxy) -> None:
    client, other = await reach(proxy), await reach(proxy)
    assert await client.ask() == b"hello"
    proxy.swallow()
    assert await client.ask() == b""
    assert await other.ask() == b"hello"


async def test_a_slow_link_delays_and_keeps_the_order(proxy: Proxy) -> None:
    client = await reach(proxy)
    assert await client.ask() == b"hello"
    began = asyncio.get_running_loop().time()
    proxy.slow(0.05)
    client.writer.write(b"first ")
    await asyncio.sleep(0.02)
    proxy.heal()
    client.writer.write(b"second")
    heard = b""
    while len(heard) < 12:
        heard += await client.reader.read(100)
    assert heard == b"first second"
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_a_server_that_is_away_resets_the_connection() -> None:
    proxy = Proxy(9)
    await proxy.open()
    assert await (await reach(proxy)).ask() == b""
    await proxy.close()
