"""One contestant on fresh servers: its commands, its workers, and the counting of what they execute."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contestants import Contestant
from bench.counter import Tally
from bench.servers import Servers, fresh_servers
from orchestrator.embedded.process import launched

POLL_SECONDS = 0.002
PATIENCE_SECONDS = 60.0


class Failure(Exception):
    """A contestant could not be measured: what it was doing, and the end of its log."""


class Stage:
    """The servers run, the tables are made; `tally` counts the executions of every worker."""

    def __init__(self, contestant: Contestant, folder: Path, servers: Servers) -> None:
        self.contestant = contestant
        self.servers = servers
        self.tally = Tally(folder)
        self._folder = folder
        self._log = folder / "contestant.log"

    def ask(self, *command: object) -> float:
        """Run one of its commands to the end and return the seconds that it measured. Raises Failure."""
        with self._log.open("ab") as log:
            done = subprocess.run(
                self._launched(*map(str, command)),
                cwd=self._folder,
                env=self.contestant.environment(self.servers.addresses),
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
            )
        if done.returncode != 0:
            raise Failure(f"`{' '.join(map(str, command))}` failed: {self._last_words()}")
        return float(done.stdout.split()[-1]) if done.stdout.strip() else 0.0

    @contextmanager
    def process(self, *command: str) -> Iterator[int]:
        """Run a command that stays, and yield its process id; it is ended, with all below it, at the end."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._launched(*command),
                cwd=self._folder,
                env=self.contestant.environment(self.servers.addresses),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process.pid
        finally:
            _end(process)

    def watch(self, arrived: Callable[[], bool], what: str) -> float:
        """Return the moment at which it is so. Raises Failure when nothing was executed for a minute before."""
        last, moved_at = -1, time.perf_counter()
        while not arrived():
            now = time.perf_counter()
            count = self.tally.count()
            if count != last:
                last, moved_at = count, now
            elif now - moved_at > PATIENCE_SECONDS:
                raise Failure(f"waited in vain until {what} ({count} executed): {self._last_words()}")
            time.sleep(POLL_SECONDS)
        return time.perf_counter()

    def _launched(self, *command: str) -> list[str]:
        return launched(self.contestant.command(*command), signal.SIGKILL)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n  ".join([f"{self._log} ends with:", *lines[-6:]])


@contextmanager
def staged(contestant: Contestant, folder: Path, traces: str) -> Iterator[Stage]:
    """Fresh servers, the contestant's tables in them."""
    with fresh_servers(folder, traces) as servers:
        stage = Stage(contestant, folder, servers)
        stage.ask("setup")
        yield stage


def _end(process: subprocess.Popen[bytes]) -> None:
    """As a process manager does: asked first, killed after ten seconds, and nothing left of its group."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
