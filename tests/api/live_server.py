"""The application behind a real uvicorn on a free port, for what only a socket shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn

from app.server import server_options
from orchestrator.operations.fences import open_epoch
from orchestrator.runtime import Runtime
from orchestrator.settings import Settings
from tests.api.door import TOKEN, configured


@dataclass
class Live:
    server: uvicorn.Server
    runtime: Runtime
    http: httpx2.AsyncClient
    serving: asyncio.Task[None]
    port: int

    async def leave(self) -> None:
        """Do what SIGTERM does, and wait for the end."""
        self.server.should_exit = True
        await self.serving


@asynccontextmanager
async def serve(database_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Live]:
    app = configured(database_url, redis_url, **changes)
    settings = Settings(_env_file=None, **changes)
    config = uvicorn.Config(app, port=0, **{**server_options(settings), "timeout_graceful_shutdown": 5})
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), await serving
        await asyncio.sleep(0.01)
    await open_epoch(app.state.runtime)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) as http:
        yield Live(server, app.state.runtime, http, serving, port)
    server.should_exit = True
    await serving
