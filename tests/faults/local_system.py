"""`aurea up` as its users run it: a process with a terminal to read, and children to kill."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from tests.faults.system import AUREA

READY = "Ctrl-C stops everything."
PART = re.compile(r"aurea (api|worker|scheduler)|bin/postgres|valkey-server")


class Up:
    """One `aurea up` on a home and a port."""

    def __init__(self, home: Path, port: int, *arguments: str, **settings: str) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        environment = environment_of(home, settings)
        command = [AUREA, "up", "--home", home, "--port", str(port), *arguments]
        self.process = subprocess.Popen(
            command, env=environment, cwd=home.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """The next line with this text."""
        while True:
            line = self._lines.get(timeout=seconds)
            assert line is not None, "\n".join(self.said)
            if text in line:
                return line

    def children(self) -> dict[int, str]:
        """Its living children: pid and command line."""
        listed = subprocess.run(["ps", "-ww", "-A", "-o", "pid=,ppid=,command="], capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        return {int(pid): command for pid, ppid, command in rows if int(ppid) == self.process.pid}

    def child(self, what: str) -> int:
        """The pid of the child whose command line has this in it."""
        return next(pid for pid, command in self.children().items() if what in command)

    def replaced(self, what: str) -> None:
        """Kill that child and return when another one is there."""
        killed = self.child(what)
        os.kill(killed, signal.SIGKILL)
        until(lambda: any(what in command for pid, command in self.children().items() if pid != killed))

    def client(self) -> httpx2.Client:
        token = (self.home / "token").read_text().strip()
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code, with everything it said read."""
        self.process.send_signal(number)
        status = self.process.wait(60)
        while self._lines.get(timeout=10) is not None:
            pass
        return status

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.said.append(line.rstrip())
                self._lines.put(line)
        self._lines.put(None)


def aurea(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end."""
    environment = environment_of(home, settings)
    return subprocess.run(
        [AUREA, *arguments], env=environment, cwd=home.parent, capture_output=True, text=True, timeout=60
    )


def environment_of(home: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Nothing of the machine's but PATH: no HOME either, since some systems have none."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "AUREA_HOME": str(home), **settings}


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    patience = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < patience, holds
        time.sleep(0.02)


def still_running(home: Path, pids: Mapping[int, str]) -> dict[int, str]:
    """Which of these processes, or of any others that name this home, live."""
    listed = subprocess.run(["ps", "-ww", "-A", "-o", "pid=,stat=,command="], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return {
        int(pid): command
        for pid, state, command in rows
        if not state.startswith("Z") and (str(home) in command or pids.get(int(pid)) == command)
    }
