"""The child's side of an isolated handler: one attempt, then the end. Started by `isolation.py`.

It dies with its worker: on Linux the kernel sees to it, elsewhere the closed socket does. The handler runs here as it
would in the worker, and its exceptions are judged here, where their traceback is.
"""

import asyncio
import ctypes
import functools
import os
import resource
import signal
import socket
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.clock import SystemClock
from orchestrator.discovery import load
from orchestrator.domain.errors import HandlerBroken, LeaseLost
from orchestrator.domain.outcome import Failed, Parked, Succeeded
from orchestrator.sdk import Config, Handler
from orchestrator.worker.bench import Bench
from orchestrator.worker.context import AttemptContext
from orchestrator.worker.failure import fail
from orchestrator.worker.frames import Frame, outcome_frame, read_claim, read_frame
from orchestrator.worker.performance import perform
from orchestrator.worker.remote import RemoteWorker

if TYPE_CHECKING:
    import httpx2

_PR_SET_PDEATHSIG = 1
_MEMORY_IN_PAGES = Path("/proc/self/statm")


async def serve(connection: socket.socket) -> None:
    """Run the one attempt that comes over the connection, and hand its outcome in."""
    reader, writer = await asyncio.open_connection(sock=connection)
    start = await read_frame(reader)
    if start is None or os.getppid() != start["parent_pid"]:
        return  # the worker was gone before this process could be tied to it
    sys.path[:] = start["import_paths"]
    worker = RemoteWorker(reader, writer)
    listening = asyncio.create_task(worker.listen())
    try:
        frame = outcome_frame(await _attempt(start, worker))
    except LeaseLost:
        frame = {"op": "lost"}
    await worker.hand_in(frame)
    listening.cancel()


async def _attempt(start: Frame, worker: RemoteWorker) -> Succeeded | Failed | Parked:
    claim = read_claim(start["claim"])
    try:
        handler = _find(start["source"], start["name"])
    except HandlerBroken as broken:
        return fail(claim.entry.type, "HandlerBroken", str(broken))
    bench = Bench(
        clock=SystemClock(),
        journal=worker,
        steps=worker,
        submit=worker.submit,
        services=worker,
        http=functools.cache(lambda: _open_client(start)),
        config=Config(start["config"]),
        max_result_bytes=start["max_result_bytes"],
    )
    context = AttemptContext(claim, bench, datetime.fromisoformat(start["started_at"]))
    memory_mb = start["memory_mb"]
    if memory_mb is not None:
        _limit_memory(memory_mb)
    worker.begun()
    outcome = await perform(handler, context)
    context.close()
    if isinstance(outcome, Failed) and outcome.error.type == MemoryError.__name__ and memory_mb is not None:
        message = f"it needed more than its {memory_mb} MB (memory_mb)"
        return replace(outcome, error=replace(outcome.error, message=message))
    return outcome


def _find(source: str, name: str) -> Handler:
    for handler in load(source):
        if handler.name == name:
            return handler
    raise HandlerBroken(f"{source} does not hold the handler {name!r} any more: start the worker again")


def _open_client(start: Frame) -> "httpx2.AsyncClient":
    from orchestrator.egress import open_client  # costs a tenth of a second, which most handlers need not pay

    return open_client(start["allow_private"], headers=lambda: start["http_headers"])


def _limit_memory(memory_mb: int) -> None:
    """Bound what the handler may take from here on; the interpreter and the imports it made are not counted."""
    if _MEMORY_IN_PAGES.exists():
        held_bytes = int(_MEMORY_IN_PAGES.read_text().split()[0]) * resource.getpagesize()
        most_bytes = held_bytes + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _die_with_parent()
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))
