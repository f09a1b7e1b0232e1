"""Child processes that never outlive their purpose.

A child ends with its parent, even when the parent is killed with -9 (on Linux; elsewhere the next start adopts it),
and is not reached by a Ctrl-C in the terminal: its parent decides when it stops.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from orchestrator.domain.errors import NotStarted

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_BYTES = 32 * 1024 * 1024


def launched(
    command: Sequence[str | Path], death_signal: signal.Signals, server_folder: Path | None = None
) -> list[str]:
    """The command line that runs `command` as a child of this process; see `launch.py`.

    Start it from the main thread: Linux ends a child with the thread that started it.
    """
    bare = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(death_signal))]
    return [*bare, str(server_folder or ""), *map(str, command)]


def spawn(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    log: Path,
    environment: Mapping[str, str],
    server_folder: Path | None = None,
    stdin: bytes = b"",
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output appended to `log`, `stdin` given to it whole."""
    trim(log)
    with open_log(log) as output:
        process = subprocess.Popen(  # noqa: S603 - a command of ours, no shell
            launched(command, death_signal, server_folder),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    if process.stdin:
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # one that died already is found out later
            pipe.write(stdin)
    return process


def trim(log: Path) -> None:
    """Put a large log aside as `.1`, replacing the one before. Its writers append, so they go on from the start."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def open_log(log: Path) -> IO[bytes]:
    """`log`, to append to, readable by its owner only."""
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def wait_until_ready(
    process: subprocess.Popen[bytes], ready: Callable[[], bool], *, name: str, log: Path, timeout_seconds: float = 30
) -> None:
    """Return once `ready()`; raises NotStarted with the log's end when the process dies first or takes too long."""
    patience = time.monotonic() + timeout_seconds
    while not ready():
        if process.poll() is not None:
            raise NotStarted(f"{name} ended as it started; {ending_of(log)}")
        if time.monotonic() > patience:
            end(process.pid, signal.SIGKILL, process=process)
            raise NotStarted(f"{name} was not ready within {timeout_seconds:.0f} s; {ending_of(log)}")
        time.sleep(0.005)


def ending_of(log: Path) -> str:
    """The last lines of a log, for an error."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n  ".join([f"{log} ends with:", *lines[-8:]])


def end(
    pid: int,
    first: signal.Signals,
    *,
    timeout_seconds: float = 10,
    last: signal.Signals = signal.SIGKILL,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Send `first`, after the timeout `last`, and return when the process is gone; one that is gone already is fine."""
    for number in (first, last):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        patience = time.monotonic() + timeout_seconds
        while time.monotonic() < patience:
            if gone(pid, process):
                return
            time.sleep(0.005)


def gone(pid: int, process: subprocess.Popen[bytes] | None) -> bool:
    """Whether a process has ended; a child of ours (`process`) is reaped."""
    return process.poll() is not None if process else not alive(pid)


def alive(pid: int) -> bool:
    """Whether there is a process with this id, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def free_port(wanted: int = 0) -> int:
    """`wanted` when nothing listens there, else any free port of the loopback interface."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise NotStarted("no port is free on 127.0.0.1")
