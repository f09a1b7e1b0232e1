"""Answers that mean harm: each ends with an error, soon, and without filling the memory."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest

from orchestrator.domain.errors import TooLarge
from orchestrator.egress import open_client

HEAD = b"HTTP/1.1 200 OK\r\n"
Write = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Callable[[Write], Awaitable[None]]) -> AsyncIterator[str]:
    """Listen, and answer each connection's first request by hand."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(write)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def get(answer: Callable[[Write], Awaitable[None]]) -> httpx2.Response:
    async with answering(answer) as url, open_client(["127.0.0.1"], max_response_bytes=100_000) as client:
        return await asyncio.wait_for(client.get(url), 20)


async def endless(write: Write, part: bytes) -> None:
    while True:
        await write(part)


async def test_headers_without_end_are_cut_off() -> None:
    async def many(write: Write) -> None:
        await write(HEAD)
        await endless(write, b"X-More: and more\r\n" * 100)

    async def long(write: Write) -> None:
        await write(HEAD + b"X-Long: ")
        await endless(write, b"a" * 10_000)

    for answer in (many, long):
        with pytest.raises(httpx2.RemoteProtocolError):
            await get(answer)


async def test_a_body_without_end_is_cut_off_however_it_is_framed() -> None:
    async def chunked(write: Write) -> None:
        await write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        await endless(write, b"400\r\n" + b"a" * 0x400 + b"\r\n")

    async def declared(write: Write) -> None:
        await write(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        await endless(write, b"a" * 0x400)

    async def until_the_end(write: Write) -> None:
        await write(HEAD + b"\r\n")
        await endless(write, b"a" * 0x400)

    for answer in (chunked, declared, until_the_end):
        with pytest.raises(TooLarge):
            await get(answer)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip", "deflate, gzip", "gzip, gzip, gzip"])
async def test_a_bomb_is_counted_as_it_unfolds(coding: str) -> None:
    packed = b"\0" * 30_000_000
    for step in coding.split(", "):
        packed = gzip.compress(packed) if step == "gzip" else zlib.compress(packed)
    assert len(packed) < 50_000

    async def bomb(write: Write) -> None:
        length = f"Content-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        await write(HEAD + length.encode() + packed)

    with pytest.raises(TooLarge):
        await get(bomb)


@pytest.mark.parametrize("coding", ["br", "zstd", "x-unheard-of"])
async def test_a_coding_that_was_not_offered_is_not_unfolded(coding: str) -> None:
    async def packed(write: Write) -> None:
        await write(HEAD + f"Content-Encoding: {coding}\r\nContent-Length: 5\r\n\r\n(\xb5/\xfd ".encode("latin-1"))

    assert (await get(packed)).content == b"(\xb5/\xfd "


async def test_what_is_no_http_is_an_error_of_the_other_side() -> None:
    for junk in (
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00" * 200_000,
        b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
        HEAD + b"A b\r\n\r\n",
    ):

        async def answer(write: Write, junk: bytes = junk) -> None:
            await write(junk)

        with pytest.raises(httpx2.RemoteProtocolError):
            await get(answer)


async def test_a_connection_ends_inside_its_answer_as_an_error() -> None:
    async def short(write: Write) -> None:
        await write(HEAD + b"Content-Length: 100\r\n\r\nhalf")

    with pytest.raises(httpx2.RemoteProtocolError):
        await get(short)
