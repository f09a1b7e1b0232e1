"""A line to a server that can be cut, fall silent, or be long."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit


class Line:
    """A TCP proxy to the server that cuts a connection at the first answer `cut` says yes to."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self.cut: Callable[[bytes], bool] = lambda _: False
        self.connections = 0
        self.delay_seconds = 0.0
        self._silenced = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._listener: asyncio.Server

    async def open(self) -> str:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        user, _, _ = self._server.netloc.rpartition("@")
        return self._server._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()

    def silence(self) -> None:
        """Let nothing more through the connections there are; nobody is told. New ones work."""
        self._silenced = self.connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.append(writer)
        up_reader, up_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        sending = asyncio.create_task(self._pass_on(number, reader, up_writer, lambda _: False))
        await self._pass_on(number, up_reader, writer, self.cut_once)
        await sending

    def cut_once(self, piece: bytes) -> bool:
        if not self.cut(piece):
            return False
        self.cut = lambda _: False
        return True

    async def _pass_on(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Callable[[bytes], bool]
    ) -> None:
        try:
            while (piece := await reader.read(65536)) and not cut(piece):
                await asyncio.sleep(self.delay_seconds)
                if number > self._silenced:
                    writer.write(piece)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        """End every connection."""
        self._listener.close()
        for writer in self._writers:
            writer.close()
