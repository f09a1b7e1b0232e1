"""A TCP proxy that does to a connection what networks do: it cuts, delays, holds, loses one direction or one reply.

One proxy stands before one server for one client process, so each link can be broken by itself. What it loses can
never be repaired in a stream of bytes, so connections that lost something are cut when the link heals; what it
held arrives late, as after a partition.
"""

import asyncio
from collections import deque
from enum import StrEnum
from typing import cast

from orchestrator.chaos.ports import quiet_port


class Way(StrEnum):
    """A direction, as the client sees it."""

    OUT = "out"
    BACK = "back"


class Proxy:
    """127.0.0.1:`port` leads to 127.0.0.1:`server_port` between `open` and `close`."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.is_cut = False
        self.delay_seconds = 0.0
        self.held: frozenset[Way] = frozenset()
        self.lost: frozenset[Way] = frozenset()
        self.swallows = 0
        self._pairs: set[Pair] = set()
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.port = self.port or quiet_port()
        self._listener = await loop.create_server(lambda: Pair(self).client, "127.0.0.1", self.port)

    async def close(self) -> None:
        self.cut()  # also what was accepted and is not made yet
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def cut(self) -> None:
        """Reset every connection, and new ones too, until it heals."""
        self.is_cut = True
        self.abort()

    def abort(self) -> None:
        """Reset every connection; new ones are welcome."""
        for pair in list(self._pairs):
            pair.abort()

    def slow(self, seconds: float) -> None:
        """Delay what comes, each way."""
        self.delay_seconds = seconds

    def hold(self, *ways: Way) -> None:
        """Keep what comes back until it heals."""
        self.held = frozenset(ways)
        self._settle()

    def lose(self, *ways: Way) -> None:
        """Throw away what comes, in silence."""
        self.lost = frozenset(ways)

    def swallow(self) -> None:
        """Lose the next reply of the server and cut the connection that it was for."""
        self.swallows += 1

    def heal(self) -> None:
        """Be an honest link again."""
        self.is_cut, self.delay_seconds, self.swallows = False, 0.0, 0
        self.held = self.lost = frozenset()
        for pair in [pair for pair in self._pairs if pair.torn]:
            pair.abort()
        self._settle()

    def add(self, pair: "Pair") -> None:
        self._pairs.add(pair)

    def discard(self, pair: "Pair") -> None:
        self._pairs.discard(pair)

    def _settle(self) -> None:
        for pair in self._pairs:
            pair.settle()


class Pair:
    """One connection: the client's end and the server's."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.torn = False
        self.client = End(self, Way.OUT)
        self.server = End(self, Way.BACK)
        self._reaching: asyncio.Task[None] | None = None

    def opened(self) -> None:
        """The client is there: reach the server for it."""
        self.proxy.add(self)
        if self.proxy.is_cut:
            self.abort()
        else:
            self._reaching = asyncio.get_running_loop().create_task(self._reach())
        asyncio.get_running_loop().call_soon(self.settle)

    async def _reach(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, "127.0.0.1", self.proxy.server_port)
        except OSError:
            self.abort()
        asyncio.get_running_loop().call_soon(self.settle)  # not inside: some loops begin to read only afterwards

    def forward(self, source: "End", chunk: bytes) -> None:
        proxy = self.proxy
        if source.way in proxy.lost:
            self.torn = True
        elif source.way is Way.BACK and proxy.swallows:
            proxy.swallows -= 1
            self.abort()
        else:
            (self.server if source.way is Way.OUT else self.client).send(chunk, proxy.delay_seconds)

    def settle(self) -> None:
        """Read from each end unless its way is held or the other end cannot take more."""
        self.client.read(Way.OUT not in self.proxy.held and not self.server.full)
        self.server.read(Way.BACK not in self.proxy.held and not self.client.full)

    def ended(self, end: "End") -> None:
        """One end closed: what was read is still delivered, then the other closes as well."""
        (self.server if end is self.client else self.client).finish()
        if not self.client.is_open and not self.server.is_open:
            self.proxy.discard(self)

    def abort(self) -> None:
        self.proxy.discard(self)
        if self._reaching is not None and not self.server.is_open:
            self._reaching.cancel()
        self.client.abort()
        self.server.abort()


class End(asyncio.Protocol):
    """One side of a pair; `way` is where its bytes go."""

    def __init__(self, pair: Pair, way: Way) -> None:
        self.way = way
        self.full = False
        self._pair = pair
        self._transport: asyncio.Transport | None = None
        self._late: deque[tuple[float, bytes]] = deque()
        """What is delayed, or came before this side was reached, and when it is due; an empty chunk is the end."""

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.way is Way.OUT:
            self._pair.opened()
        elif self._late:
            self._send_late()

    def data_received(self, data: bytes) -> None:
        self._pair.forward(self, data)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._pair.ended(self)

    def pause_writing(self) -> None:
        self.full = True
        self._pair.settle()

    def resume_writing(self) -> None:
        self.full = False
        self._pair.settle()

    def send(self, chunk: bytes, delay_seconds: float) -> None:
        """Write the chunk behind everything that came before it."""
        loop = asyncio.get_running_loop()
        if not self._late and not delay_seconds and self._transport is not None:
            self._write(chunk)
            return
        self._late.append((loop.time() + delay_seconds, chunk))
        if len(self._late) == 1 and self._transport is not None:
            loop.call_later(delay_seconds, self._send_late)

    def finish(self) -> None:
        """Close once everything is written."""
        self.send(b"", 0.0)

    def read(self, wanted: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def abort(self) -> None:
        self._late.clear()
        if self._transport is not None:
            self._transport.abort()

    def _send_late(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._late and self._late[0][0] <= now + 0.001:
            self._write(self._late.popleft()[1])
        if self._late:
            asyncio.get_running_loop().call_later(max(0.0, self._late[0][0] - now), self._send_late)

    def _write(self, chunk: bytes) -> None:
        if self._transport is None:
            return
        if chunk:
            self._transport.write(chunk)
        else:
            self._transport.close()
