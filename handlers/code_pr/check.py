"""Running the check: a command over a written-out copy, in a process group that is really ended.

It gets a folder of its own, an environment without anything of the worker's but PATH, no input, and bounds on time,
memory and output; a worker that is killed takes it along. It is code of the repository, run as the worker's user with
the worker's network: bounds are no sandbox, which is why an operator has to allow checks.
"""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from handlers.code_pr.workspace import EXECUTABLE, File
from orchestrator.sdk import Config, Redaction, Terminal

SWITCH = "AUREA_CODE_CHECKS"
FIRST_BYTES, LAST_BYTES = 4_000, 12_000
"""What is kept of the output: its beginning, and its end, where the verdict usually stands."""
PATH = "/usr/local/bin:/usr/bin:/bin"

# The limits hold for each process: no core, memory it writes to (of address space node and go reserve far more), CPU.
# The first input is a pipe that ends with the worker: then a watcher, which is nobody's child, ends the whole group.
_BOUNDED = """
ulimit -c 0; ulimit -d "$1" 2>/dev/null; ulimit -t "$2" 2>/dev/null; shift 2
exec 3<&0 </dev/null
( { read -r _ <&3; kill -9 0; } >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"""
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|DSN|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 8
"""Characters of a value that only its variable's name makes a secret: shorter ones are words such as `true`."""


def require_checks(config: Config) -> None:
    """Raises Terminal unless the operator lets tasks run commands on the workers."""
    if (config.get(SWITCH) or "").lower() not in ("1", "true", "yes", "on"):
        raise Terminal(
            f"set {SWITCH}=true in the environment of the worker to let tasks run a check there, or leave check out:"
            " it runs the repository's code as the worker's user"
        )


async def run_check(
    files: Mapping[str, File], command: Sequence[str], config: Config, *, timeout_seconds: float, memory_mb: int
) -> dict[str, Any]:
    """Return the exit code (None when time ran out) and the output. When it returns, nothing of the group is left."""
    folder = Path(await asyncio.to_thread(mkdtemp, prefix="aurea-check-"))
    try:
        await asyncio.to_thread(_write_out, files, folder / "work")
        code, output = await _run(folder, command, config, timeout_seconds, memory_mb)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return {"exit_code": code, "output": _presentable(output, folder, config)}


def _write_out(files: Mapping[str, File], work: Path) -> None:
    for path, file in files.items():
        target = work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(0o755 if file.mode == EXECUTABLE else 0o644)
    work.mkdir(exist_ok=True)
    for name in ("home", "tmp"):
        (work.parent / name).mkdir()


async def _run(
    folder: Path, command: Sequence[str], config: Config, timeout_seconds: float, memory_mb: int
) -> tuple[int | None, bytes]:
    limits = (str(memory_mb * 1024), str(int(timeout_seconds) + 1))
    output = _Output()
    # A pipe of our own: asyncio's would have us wait for whatever else still holds its other end.
    read_end, write_end = os.pipe()
    life_read_end, life_write_end = os.pipe()
    reading = asyncio.create_task(output.read(read_end))
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", _BOUNDED, "sh", *limits, *command),
                cwd=folder / "work",
                env=_environment(folder, config),
                stdin=life_read_end,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        finally:
            os.close(write_end)
            os.close(life_read_end)
        code = await _finish(process, timeout_seconds)
        await asyncio.wait([reading], timeout=1.0)  # what left the group could hold the pipe open for ever
    finally:
        os.close(life_write_end)
        reading.cancel()
    return code, output.kept()


async def _finish(process: asyncio.subprocess.Process, timeout_seconds: float) -> int | None:
    """Return the exit code, or None when time ran out. Nothing of the group is left, after a cancellation too."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left in the group
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _environment(folder: Path, config: Config) -> dict[str, str]:
    return {
        "PATH": config.get("PATH") or PATH,
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "CI": "true",
    }


class _Output:
    """The beginning and the end of what came."""

    def __init__(self) -> None:
        self._first, self._last, self._left_out = b"", b"", 0

    async def read(self, read_end: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            while piece := await stream.read(65_536):
                taken = FIRST_BYTES - len(self._first)
                self._first += piece[:taken]
                rest = self._last + piece[taken:]
                self._left_out += max(0, len(rest) - LAST_BYTES)
                self._last = rest[-LAST_BYTES:]
        finally:
            transport.close()

    def kept(self) -> bytes:
        gap = b"\n... %d bytes left out ...\n" % self._left_out if self._left_out else b""
        return self._first + gap + self._last


def _presentable(output: bytes, folder: Path, config: Config) -> str:
    """The output as text that can be kept, without the folder's name and without any secret of the worker's."""
    text = output.decode("utf-8", "replace").replace("\0", "\ufffd").replace(f"{folder}/work", ".")
    secrets = (value for name, value in config.values.items() if len(value) >= _SHORTEST and _SECRET.search(name))
    return Redaction(secrets).text(text).strip()
