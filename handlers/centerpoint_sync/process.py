"""A script's process: in a group of its own, tied to this worker, and really ended."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ENGINE_MB = 768
"""What V8 reserves for itself, whatever the script does, is up to 700 MB; hardly any of it is ever touched."""

_LAUNCHER = str(Path(__file__).with_name("launch.py"))
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the system itself holds a process to, besides its engine."""

    memory_mb: int
    read: list[str]
    write: list[str]
    """Folders."""

    def arguments(self) -> list[str]:
        """Return what the launcher takes."""
        data_bytes = (ENGINE_MB + self.memory_mb) * 2**20
        paths = [str(len(self.read)), *self.read, str(len(self.write)), *self.write]
        return [str(os.getpid()), str(data_bytes), *paths]


@asynccontextmanager
async def start(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, bounds: Bounds
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command inside the block, with pipes to all its streams.

    When the block ends, by a cancellation too, nothing of the process' group is left.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", _LAUNCHER, *bounds.arguments(), *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        cwd=folder,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left in the group
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    for stream in (process.stdout, process.stderr):
        while stream is not None and await stream.read(_CHUNK_BYTES):  # so that the pipe is seen to end, and is closed
            pass
    if process.stdin is not None:
        process.stdin.close()
